//! A typed payload and a typed reply: a payload that does not fit is answered with 422 and the path to the mistake.
//!
//! ```text
//! cargo run --example typed
//! curl -X POST localhost:8080/invocations -d '{"action": "add", "items": [{"name": "tea", "price": 2.5}]}'
//! curl -X POST localhost:8080/invocations -d '{"action": "total", "prices": [1, 2.5]}'
//! curl -X POST localhost:8080/invocations -d '{"action": "sell"}'
//! curl -X POST localhost:8080/invocations -d '{"action": "add", "items": [{"name": "tea", "price": "2"}]}'
//! ```
//!
//! The last two answer
//! ``{"error":"Invalid payload","details":"unknown variant `sell`, expected `add` or `total` …","path":"action"}`` and
//! `{"error":"Invalid payload","details":"invalid type: string \"2\", expected f64 …","path":"items[0].price"}`.

use agentcore::{HttpError, entrypoint};
use serde::{Deserialize, Serialize};

/// What callers send: `action` chooses the variant.
#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Request {
    Add { items: Vec<Item> },
    Total { prices: Vec<f64> },
}

#[derive(Deserialize)]
struct Item {
    name: String,
    price: f64,
}

/// The replies: no tag, because the fields tell the variants apart.
#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Added { names: Vec<String>, total: f64 },
    Total { total: f64 },
}

#[entrypoint]
async fn handler(request: Request) -> Result<Reply, HttpError> {
    match request {
        Request::Add { items } => {
            let total = sum(items.iter().map(|item| item.price))?;
            Ok(Reply::Added {
                names: items.into_iter().map(|item| item.name).collect(),
                total,
            })
        }
        Request::Total { prices } => Ok(Reply::Total {
            total: sum(prices.into_iter())?,
        }),
    }
}

/// The error chooses the status of the reply.
fn sum(prices: impl Iterator<Item = f64>) -> Result<f64, HttpError> {
    let mut total = 0.0;
    for price in prices {
        if price < 0.0 {
            return Err(HttpError::new(
                409,
                format!("a price cannot be negative, and {price} is"),
            ));
        }
        total += price;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn what_does_not_fit_is_told_where() {
        let agent = TestClient::from_registry().await.unwrap();
        let total = agent
            .invoke(json!({ "action": "total", "prices": [1, 2.5] }))
            .await;
        assert_eq!(total.json::<Value>(), json!({ "total": 3.5 }));
        let unknown = agent.invoke(json!({ "action": "sell" })).await;
        assert_eq!(unknown.status(), 422);
        assert_eq!(unknown.json::<Value>()["path"], "action");
        let wrong = agent
            .invoke(json!({
                "action": "add",
                "items": [{ "name": "tea", "price": 2 }, { "name": "tea", "price": "x" }],
            }))
            .await;
        assert_eq!(wrong.status(), 422);
        assert_eq!(wrong.json::<Value>()["path"], "items[1].price");
        let negative = agent
            .invoke(json!({ "action": "total", "prices": [-1] }))
            .await;
        assert_eq!(negative.status(), 409);
    }
}
