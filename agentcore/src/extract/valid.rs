//! [`Valid`]: a payload that is checked before the handler is called.

use garde::{Report, Validate};
use http::StatusCode;
use serde_core::de::DeserializeOwned;

use super::{FromInvocation, Invocation, decode_payload};
use crate::fields::fields;
use crate::response::Response;

/// A payload that [`garde`] has validated; with the feature `garde`.
///
/// The body is decoded as a plain payload is, and then checked. A payload that breaks a rule is a 422:
///
/// ```json
/// {"error":"Invalid payload","details":"lower than 0","path":"items[1].price"}
/// ```
///
/// `details` and `path` are those of the first broken rule, so the answer has the shape that it has for a payload of the wrong
/// type. If more than one rule is broken, `problems` lists them all, at most 100:
/// `[{"details":"lower than 0","path":"items[1].price"},…]`.
///
/// The derive macro belongs to the crate `garde`: add `garde = { version = "0.22", features = ["derive"] }` to the agent's own
/// dependencies.
///
/// ```
/// use agentcore::testing::TestClient;
/// use agentcore::{App, Valid};
/// use garde::Validate;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Order {
///     #[garde(dive, length(min = 1))]
///     items: Vec<Item>,
/// }
///
/// #[derive(Deserialize, Validate)]
/// struct Item {
///     #[garde(length(min = 1))]
///     name: String,
///     #[garde(range(min = 0.0))]
///     price: f64,
/// }
///
/// async fn total(Valid(order): Valid<Order>) -> agentcore::Json<f64> {
///     agentcore::Json(order.items.iter().map(|item| item.price).sum())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), agentcore::Error> {
/// let agent = TestClient::new(App::new().entrypoint("total", total)).await?;
/// let reply = agent.invoke(serde_json::json!({ "items": [{ "name": "tea", "price": -1 }] })).await;
/// assert_eq!(reply.status(), 422);
/// assert_eq!(reply.text(), r#"{"error":"Invalid payload","details":"lower than 0","path":"items[0].price"}"#);
/// # Ok(())
/// # }
/// ```
///
/// In an annotated function it is written the same way: `async fn handler(Valid(order): Valid<Order>)`.
///
/// Rules that need a context get its [`Default`]. Rules run on the workers, and may not block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Valid<T>(pub T);

impl<T> FromInvocation for Valid<T>
where
    T: DeserializeOwned + Validate<Context: Default>,
{
    type Rejection = Response;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Response> {
        let value: T = decode_payload(invocation)?;
        match value.validate() {
            Ok(()) => Ok(Self(value)),
            Err(report) => Err(rejection(&report)),
        }
    }
}

/// How many problems an answer lists, at most.
const MOST_PROBLEMS: usize = 100;

/// A rule that is broken.
#[derive(Clone)]
struct Problem {
    details: String,
    path: String,
}

fields! { Problem { details, path } }

/// As [`ErrorBody`](crate::error::ErrorBody), with a list behind it.
struct Problems {
    error: &'static str,
    first: Option<Problem>,
    problems: Option<Vec<Problem>>,
}

fields! { Problems { error, ..first, problems? } }

#[cold]
fn rejection(report: &Report) -> Response {
    let problems = report.iter().map(|(path, error)| {
        let path = path.to_string();
        Problem {
            details: error.message().to_owned(),
            // The whole payload, as `serde_path_to_error` writes it.
            path: if path.is_empty() {
                ".".to_owned()
            } else {
                path
            },
        }
    });
    let problems: Vec<_> = problems.take(MOST_PROBLEMS).collect();
    Response::json(&Problems {
        error: "Invalid payload",
        first: problems.first().cloned(),
        problems: (problems.len() > 1).then_some(problems),
    })
    .with_status(StatusCode::UNPROCESSABLE_ENTITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, garde::Validate, serde::Deserialize)]
    struct Order {
        #[garde(dive)]
        items: Vec<Item>,
    }

    #[derive(Debug, garde::Validate, serde::Deserialize)]
    struct Item {
        #[garde(length(min = 1))]
        name: String,
        #[garde(range(min = 0))]
        price: i64,
    }

    fn refused(items: &[(&str, i64)]) -> serde_json::Value {
        let items = items.iter().map(|(name, price)| Item {
            name: (*name).to_owned(),
            price: *price,
        });
        let order = Order {
            items: items.collect(),
        };
        let reply = rejection(&order.validate().unwrap_err());
        assert_eq!(reply.status(), 422);
        serde_json::from_slice(reply.body().unwrap()).unwrap()
    }

    #[test]
    fn one_problem_has_the_shape_of_any_other_error() {
        let reply = refused(&[("tea", 1), ("milk", -1)]);
        assert_eq!(
            reply,
            serde_json::json!({ "error": "Invalid payload", "details": "lower than 0", "path": "items[1].price" })
        );
    }

    #[test]
    fn several_problems_are_listed_behind_the_first() {
        let reply = refused(&[("", 1), ("milk", -1)]);
        let problems = reply["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[0]["path"], reply["path"]);
        assert_eq!(problems[0]["details"], reply["details"]);
        let mut paths: Vec<_> = problems
            .iter()
            .map(|problem| problem["path"].as_str().unwrap())
            .collect();
        paths.sort_unstable();
        assert_eq!(paths, ["items[0].name", "items[1].price"]);
    }

    #[test]
    fn the_list_is_bounded() {
        let reply = refused(&[("", -1); 300]);
        assert_eq!(reply["problems"].as_array().unwrap().len(), MOST_PROBLEMS);
    }
}
