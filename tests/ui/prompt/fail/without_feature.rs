#[agentcore::prompt]
fn review(
    /// The code.
    code: String,
) -> String {
    code
}

fn main() {}
