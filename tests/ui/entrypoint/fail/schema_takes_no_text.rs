#[agentcore::entrypoint(schema = "question.json", main = false)]
async fn handler(question: String) -> String {
    question
}

fn main() {}
