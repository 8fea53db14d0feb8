use agentcore::{Response, stream};
use futures_core::Stream;
use serde_json::{Value, json};

#[agentcore::entrypoint]
async fn handler(numbers: Vec<String>) -> impl Stream<Item = Value> {
    stream! {
        for number in numbers {
            let number: u32 = number.parse()?;
            yield json!({ "number": number });
        }
    }
}

async fn read(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

async fn yielded(path: String) -> Response {
    Response::stream(stream! {
        if path.is_empty() {
            return;
        }
        yield json!({ "text": read(&path).await? });
    })
}

async fn spawned() -> Response {
    drop(yielded(String::new()));
    Response::stream(stream! {
        let task = agentcore::spawn(async { read("a").await?.parse::<u32>().map_err(std::io::Error::other) });
        let length = |path| Ok::<_, std::io::Error>(std::fs::read(path)?.len());
        yield length("a").ok();
        drop(task);
    })
}
