//! Everything that the function may be.

use agentcore::{State, on_warmup, on_start};

struct Pool;

#[on_start]
fn connect() -> Pool {
    Pool
}

#[on_warmup]
fn plain() {}

#[on_warmup(timeout = "5s")]
async fn waits(State(_): State<Pool>) {
    tokio::task::yield_now().await;
}

#[on_warmup]
async fn fallible(_: State<Pool>) -> Result<(), std::io::Error> {
    Ok(())
}

#[on_warmup(timeout = "1m", crate = ::agentcore)]
fn any_error() -> anyhow::Result<()> {
    Ok(())
}

fn main() {}
