use agentcore::{Response, stream};

#[agentcore::entrypoint]
async fn handler(numbers: Vec<String>) -> Response {
    Response::stream(stream! {
        for number in numbers {
            yield number.parse::<u32>().map_err(|error| error.to_string());
        }
    })
}
