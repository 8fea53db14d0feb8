//! Everything a shutdown hook can be.

use agentcore::on_shutdown;

#[on_shutdown]
fn plain() {}

#[on_shutdown]
async fn waits() {
    tokio::task::yield_now().await;
}

#[on_shutdown]
async fn fallible() -> Result<(), std::io::Error> {
    Ok(())
}

#[on_shutdown(crate = ::agentcore)]
fn any_error() -> anyhow::Result<()> {
    Ok(())
}

fn main() {}
