struct Reply;

#[agentcore::entrypoint]
async fn plain(_: String) -> Vec<Reply> {
    Vec::new()
}

#[agentcore::entrypoint(main = false)]
async fn fallible(_: String) -> Result<Reply, std::fmt::Error> {
    Ok(Reply)
}

type Outcome<T> = Result<T, std::fmt::Error>;

#[agentcore::entrypoint(main = false)]
fn aliased(_: String) -> Outcome<Reply> {
    Ok(Reply)
}
