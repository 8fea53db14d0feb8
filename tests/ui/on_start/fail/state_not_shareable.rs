use std::rc::Rc;

#[agentcore::on_start]
async fn connect() -> Rc<str> {
    "database".into()
}

fn main() {}
