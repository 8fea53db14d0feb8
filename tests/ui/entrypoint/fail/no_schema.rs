#[derive(serde::Deserialize)]
struct Question;

#[derive(serde::Serialize)]
struct Answer;

#[agentcore::entrypoint(schema, main = false)]
async fn handler(question: Question) -> Result<Answer, agentcore::BoxError> {
    let _ = question;
    Ok(Answer)
}

fn main() {}
