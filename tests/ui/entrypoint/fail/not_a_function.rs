#[agentcore::entrypoint]
struct Handler;

#[agentcore::entrypoint(main = false)]
impl Handler {}

#[agentcore::entrypoint(main = false)]
const HANDLER: fn() = || ();
