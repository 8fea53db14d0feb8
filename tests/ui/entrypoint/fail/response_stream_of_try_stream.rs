use agentcore::{Response, try_stream};

#[agentcore::entrypoint]
async fn handler(numbers: Vec<String>) -> Response {
    Response::stream(try_stream! {
        for number in numbers {
            yield number.parse::<u32>()?;
        }
    })
}
