//! [`Valid`]: a payload that is checked before the handler is called.

use std::fmt::{self, Write as _};

use garde::{Report, Validate};
use http::StatusCode;
use serde_core::de::DeserializeOwned;

use super::{FromInvocation, Invocation, decode_payload};
use crate::handler::response::Response;
use crate::report::Rejection;
use crate::util::fields::fields;

/// A payload that [`garde`] has validated; with the feature `garde`.
///
/// The body is decoded like a plain payload, and then checked. A payload that breaks a rule is answered with 422:
///
/// ```json
/// {"error":"Invalid payload","details":"lower than 0","path":"items[1].price"}
/// ```
///
/// `details` and `path` are those of the first broken rule, so the answer has the shape of the answer to a payload of the wrong
/// type. If more than one rule is broken, `problems` lists them all, at most 100:
/// `[{"details":"lower than 0","path":"items[1].price"},…]`.
///
/// An answer has at most 64 KiB. A path or a text of details that is longer than 256 bytes is cut, and then ends with `…`. The
/// list ends early if the next problem would not fit.
///
/// # Memory
///
/// The answer is bounded, but garde's report is not: garde first checks every rule of every value, and reports each one that is
/// broken. A list of a million wrong values makes a report of a million entries. Bound the length of the lists and maps whose
/// values are checked. A `#[garde(length(max = 100))]` alone does not do it, because garde also checks the values of a list
/// that is too long. [`Config::max_json_nodes`](crate::Config::max_json_nodes) bounds all values of a payload together, before
/// any rule is checked.
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
/// An annotated function is written in the same way: `async fn handler(Valid(order): Valid<Order>)`.
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

/// The maximum number of problems in an answer.
const MOST_PROBLEMS: usize = 100;
/// The maximum number of problems whose path is logged.
const MOST_LOGGED: usize = 10;
/// The maximum length of a path, and of a text of details, in bytes.
const MOST_TEXT: usize = 256;
/// The maximum length of an answer, in bytes.
const MOST_BYTES: usize = 64 << 10;
/// The end of a text that was cut.
const CUT: char = '…';

/// A rule that is broken.
#[derive(Clone)]
struct Problem {
    details: String,
    path: String,
}

fields! { Problem { details, path } }

/// An [`ErrorBody`](crate::handler::response::ErrorBody) with a list after it.
struct Problems {
    error: &'static str,
    first: Option<Problem>,
    problems: Option<Vec<Problem>>,
}

fields! { Problems { error, ..first, problems? } }

/// Keeps the beginning of a text, up to [`MOST_TEXT`] bytes.
#[derive(Default)]
struct Beginning(String);

impl Beginning {
    fn of(text: impl fmt::Display) -> String {
        let mut beginning = Self::default();
        // The write fails when there is no more room.
        let _ = write!(beginning, "{text}");
        beginning.0
    }
}

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() <= MOST_TEXT {
            self.0.push_str(text);
            return Ok(());
        }
        // The mark needs room too, so text that fits already may have to go.
        let most = MOST_TEXT - CUT.len_utf8();
        while self.0.len() > most {
            self.0.pop();
        }
        for letter in text.chars() {
            if self.0.len() + letter.len_utf8() > most {
                break;
            }
            self.0.push(letter);
        }
        self.0.push(CUT);
        // Stops the formatting.
        Err(fmt::Error)
    }
}

#[cold]
fn rejection(report: &Report) -> Response {
    let problems = report.iter().map(|(path, error)| {
        let path = Beginning::of(path);
        Problem {
            details: Beginning::of(error.message()),
            // The path of the whole payload, as `serde_path_to_error` writes it.
            path: if path.is_empty() {
                ".".to_owned()
            } else {
                path
            },
        }
    });
    let mut problems = problems.take(MOST_PROBLEMS).peekable();
    // In JSON a text may be six times as long.
    let length =
        |problem: &Problem| serde_json::to_vec(problem).map_or(MOST_BYTES, |json| json.len());
    // The first problem is written twice. The rest is `{"error":"Invalid payload",` and `"problems":[]}`.
    let around = 64 + problems.peek().map_or(0, length);
    let problems = problems.scan(around, |bytes, problem| {
        *bytes += length(&problem) + 1;
        (*bytes <= MOST_BYTES).then_some(problem)
    });
    let problems: Vec<_> = problems.collect();
    let logged = logged(&problems);
    Response::json(&Problems {
        error: "Invalid payload",
        first: problems.first().cloned(),
        problems: (problems.len() > 1).then_some(problems),
    })
    .with_status(StatusCode::UNPROCESSABLE_ENTITY)
    .with_rejection(logged)
}

/// The problems for the log: only their paths. Their details are the program's texts, which may quote a value.
fn logged(problems: &[Problem]) -> Rejection {
    let paths = problems.iter().map(|problem| problem.path.as_str());
    let paths: Vec<_> = paths.take(MOST_LOGGED).collect();
    let reason = match problems.len() {
        0 | 1 => "a rule is broken".into(),
        MOST_PROBLEMS => format!("{MOST_PROBLEMS} or more rules are broken"),
        count => format!("{count} rules are broken"),
    };
    Rejection::new(reason).at(paths.join(", "))
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
    fn the_log_has_the_paths_alone() {
        let order = Order {
            items: vec![
                Item {
                    name: String::new(),
                    price: 1,
                },
                Item {
                    name: "milk".to_owned(),
                    price: -1,
                },
            ],
        };
        let reply = rejection(&order.validate().unwrap_err());
        let logged = reply.why_rejected().expect("a reason");
        let expected =
            Rejection::new("2 rules are broken").at("items[0].name, items[1].price".to_owned());
        assert_eq!(*logged, expected);
    }

    #[test]
    fn the_list_is_bounded() {
        let reply = refused(&[("", -1); 300]);
        assert_eq!(reply["problems"].as_array().unwrap().len(), MOST_PROBLEMS);
    }

    #[test]
    fn a_path_and_its_details_are_cut() {
        let key = "k".repeat(1 << 20);
        let mut report = Report::new();
        for _ in 0..300 {
            let path = garde::Path::new("items").join(key.as_str()).join("price");
            report.append(path, garde::Error::new("é".repeat(1 << 10)));
        }
        let reply = rejection(&report);
        let body = reply.body().unwrap();
        assert!(body.len() <= MOST_BYTES, "{}", body.len());
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        let path = format!("items.{}…", "k".repeat(MOST_TEXT - "items.…".len()));
        assert_eq!(body["path"], path);
        let details = body["details"].as_str().unwrap();
        assert_eq!(details.trim_start_matches('é'), "…");
        assert!((MOST_TEXT - 1..=MOST_TEXT).contains(&details.len()));
        assert_eq!(body["problems"].as_array().unwrap().len(), MOST_PROBLEMS);
    }

    #[test]
    fn a_text_that_fits_is_whole_and_one_byte_more_is_cut() {
        let whole = "k".repeat(MOST_TEXT);
        assert_eq!(Beginning::of(&whole), whole);
        // In two pieces, of which the first leaves no room for the mark.
        let cut = Beginning::of(format_args!("{whole}{}", "x"));
        assert_eq!(cut, format!("{}…", &whole[CUT.len_utf8()..]));
    }

    #[test]
    fn the_answer_is_bounded_as_it_is_written() {
        // A control character takes six bytes in JSON.
        let key = "\u{1}".repeat(MOST_TEXT);
        let mut report = Report::new();
        for _ in 0..300 {
            report.append(garde::Path::new(key.as_str()), garde::Error::new(&key));
        }
        let reply = rejection(&report);
        let body = reply.body().unwrap();
        assert!(
            (MOST_BYTES / 2..=MOST_BYTES).contains(&body.len()),
            "{}",
            body.len()
        );
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["path"], key);
        assert!(body["problems"].as_array().unwrap().len() > 1);
    }

    #[test]
    fn a_list_that_is_too_long_is_checked_all_the_same() {
        #[derive(garde::Validate)]
        struct Few {
            #[garde(length(max = 1), dive)]
            items: Vec<Item>,
        }
        let item = || Item {
            name: String::new(),
            price: 1,
        };
        let few = Few {
            items: vec![item(), item()],
        };
        assert_eq!(few.validate().unwrap_err().iter().count(), 3);
    }
}
