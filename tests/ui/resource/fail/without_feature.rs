#[agentcore::resource(uri = "notes://{name}")]
fn note(name: String) -> String {
    name
}

fn main() {}
