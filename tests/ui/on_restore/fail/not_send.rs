use std::rc::Rc;

#[agentcore::on_restore]
async fn reconnect() -> Result<(), std::fmt::Error> {
    let count = Rc::new(1);
    tokio::task::yield_now().await;
    drop(count);
    Ok(())
}

fn main() {}
