//! Errors that choose their status: the library's, and an error type of the program.
//!
//! ```text
//! cargo run --example errors
//! curl -i -X POST localhost:8080/invocations -d '{"city": "Paris"}'
//! curl -i -X POST localhost:8080/invocations -d '{"city": "Atlantis"}'
//! curl -i -X POST localhost:8080/invocations -d '{"city": "Oslo"}'
//! curl -i -X POST localhost:8080/invocations -d '{"city": 7}'
//! AGENTCORE_ERRORS=in-band cargo run --example errors
//! ```
//!
//! They answer 200, 404, 503 with `Retry-After`, and 422. With `in-band` all of them are 200, and the body has the status,
//! because the platform drops the body of any other reply.

use agentcore::{HttpError, IntoResponse, Response, entrypoint};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Question {
    city: String,
}

#[derive(Serialize)]
struct Forecast {
    city: String,
    weather: &'static str,
}

/// The agent's own errors; each knows its reply.
enum Failure {
    Unknown(String),
    Overloaded,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown(city) => {
                HttpError::new(404, format!("there is no {city}")).into_response()
            }
            Self::Overloaded => HttpError::new(503, "the satellites are busy")
                .into_response()
                .with_header("retry-after", "30"),
        }
    }
}

#[entrypoint]
async fn handler(Question { city }: Question) -> Result<Forecast, Failure> {
    match city.as_str() {
        "Paris" => Ok(Forecast {
            city,
            weather: "sunny",
        }),
        "Oslo" => Err(Failure::Overloaded),
        _ => Err(Failure::Unknown(city)),
    }
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use agentcore::{App, Config, ErrorMode};
    use serde_json::{Value, json};

    #[tokio::test]
    async fn each_error_has_its_status() {
        let agent = TestClient::from_registry().await.unwrap();
        for (event, status) in [
            (json!({ "city": "Paris" }), 200),
            (json!({ "city": "Atlantis" }), 404),
            (json!({ "city": "Oslo" }), 503),
            (json!({ "city": 7 }), 422),
        ] {
            assert_eq!(agent.invoke(&event).await.status(), status, "{event}");
        }
        let busy = agent.invoke(json!({ "city": "Oslo" })).await;
        assert_eq!(busy.headers()["retry-after"], "30");
    }

    #[tokio::test]
    async fn in_band_they_are_all_200() {
        let app = App::from_registry().config(Config::new().errors(ErrorMode::InBand));
        let agent = TestClient::new(app).await.unwrap();
        let reply = agent.invoke(json!({ "city": "Atlantis" })).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(
            reply.json::<Value>(),
            json!({ "error": "there is no Atlantis", "status": 404 })
        );
    }
}
