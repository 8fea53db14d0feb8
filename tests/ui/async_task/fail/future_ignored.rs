#![deny(unused_must_use)]

#[agentcore::async_task]
async fn work() {}

fn main() {
    work();
}
