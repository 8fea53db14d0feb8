#[agentcore::on_start]
async fn serve_metrics() -> ! {
    loop {}
}

fn main() {}
