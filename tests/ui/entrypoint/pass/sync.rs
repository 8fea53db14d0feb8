//! A function that is not `async` runs on the blocking pool.

use agentcore::entrypoint;

#[entrypoint(main = false)]
fn handler(event: String) -> Result<String, std::io::Error> {
    std::fs::read_to_string(event)
}

fn main() {}
