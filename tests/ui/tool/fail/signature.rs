#[agentcore::tool]
unsafe fn unsafe_tool() {}

#[agentcore::tool]
extern "C" fn extern_tool() {}

#[agentcore::tool]
async fn generic<T>(city: T) -> T {
    city
}

#[agentcore::tool]
async fn never() -> ! {
    loop {}
}

#[agentcore::tool]
async fn yields() -> u8 {
    yield 1;
}

fn main() {}
