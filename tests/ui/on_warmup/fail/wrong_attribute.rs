struct Agent;

impl Agent {
    #[agentcore::on_warmup(name = "x", timeout = "soon")]
    async fn warm_up<T>(self) -> ! { loop {} }
}

fn main() {}
