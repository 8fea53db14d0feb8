use std::rc::Rc;

#[agentcore::tool]
async fn forecast(city: String) -> String {
    let shared = Rc::new(city);
    tokio::task::yield_now().await;
    shared.to_string()
}

fn main() {}
