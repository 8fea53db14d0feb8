struct Agent;

impl Agent {
    #[agentcore::on_shutdown(timeout = "1s")]
    async fn flush<T>(self) {}
}

fn main() {}
