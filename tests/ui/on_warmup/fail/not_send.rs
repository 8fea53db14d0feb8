use std::rc::Rc;

#[agentcore::on_warmup]
async fn warm_up() -> Result<(), std::fmt::Error> {
    let count = Rc::new(1);
    tokio::task::yield_now().await;
    drop(count);
    Ok(())
}

fn main() {}
