use agentcore::{BoxError, Response, stream};
use serde_json::Value;

#[agentcore::entrypoint]
async fn handler(numbers: Vec<String>) -> Response {
    Response::stream(stream! {
        for number in numbers {
            yield Ok::<Value, BoxError>(number.into());
        }
    })
}
