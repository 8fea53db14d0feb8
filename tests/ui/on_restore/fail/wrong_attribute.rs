struct Agent;

impl Agent {
    #[agentcore::on_restore(name = "x", timeout = "soon")]
    async fn reconnect<T>(self) -> ! { loop {} }
}

fn main() {}
