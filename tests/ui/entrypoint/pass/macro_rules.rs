//! Functions that a macro writes, with keys and values from its caller.

macro_rules! handler {
    ($(#[$attr:meta])* $name:ident($arg:ident: $ty:ty) -> $output:ty $body:block, $label:literal, $krate:path) => {
        $(#[$attr])*
        #[agentcore::entrypoint(main = false, name = $label, crate = $krate)]
        async fn $name($arg: $ty) -> $output $body
    };
}

handler! {
    /// Documented.
    echo(event: Vec<u8>) -> Vec<u8> { event }, "echo", ::agentcore
}

fn main() {}
