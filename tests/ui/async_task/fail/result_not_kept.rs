use agentcore::{BoxError, spawn};

struct Report;

struct Failure;

fn main() {
    spawn(async { Report }).detach();
    spawn(async { Ok::<_, BoxError>(Report) }).detach();
    spawn(async { Err::<u32, _>(Failure) }).detach();
}
