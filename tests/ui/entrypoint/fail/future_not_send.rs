use std::rc::Rc;

#[agentcore::entrypoint]
async fn handler(event: String) -> String {
    let shared = Rc::new(event);
    tokio::task::yield_now().await;
    shared.to_string()
}
