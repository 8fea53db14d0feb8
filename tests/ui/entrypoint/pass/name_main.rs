//! With `main = false` a function may have any name.

mod agent {
    #[agentcore::entrypoint(main = false)]
    async fn main() {}

    #[agentcore::entrypoint(main = false)]
    async fn r#async() {}
}

fn main() {}
