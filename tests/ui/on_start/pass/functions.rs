//! Everything a start hook can be.

use agentcore::{BoxError, on_start};

struct Database;

#[on_start]
fn nothing() {}

#[on_start]
async fn state() -> Database {
    Database
}

#[on_start(timeout = "10s")]
async fn fallible() -> Result<Database, BoxError> {
    Ok(Database)
}

type Outcome<T> = Result<T, String>;

#[on_start(crate = ::agentcore)]
fn aliased() -> Outcome<(Database, u32)> {
    Ok((Database, 1))
}

#[on_start]
async fn may_fail() -> Outcome<()> {
    Ok(())
}

fn main() {}
