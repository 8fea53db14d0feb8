#[agentcore::entrypoint]
async fn handler(event: String) -> String {
    event
}

fn main() {
    println!("starting");
    agentcore::run();
}
