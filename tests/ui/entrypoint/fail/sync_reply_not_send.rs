use serde::Serialize;

#[derive(Serialize)]
struct Reply {
    #[serde(skip)]
    _address: *const u8,
}

#[agentcore::entrypoint]
fn handler(_: String) -> Reply {
    Reply { _address: std::ptr::null() }
}
