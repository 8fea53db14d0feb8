#[agentcore::entrypoint(nam = "chat", timeout = "soon")]
unsafe fn main<'a>(_: &'a str, _: impl Send) -> ! {
    loop {}
}
