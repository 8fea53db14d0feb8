//! Annotated functions that another macro writes.

/// All tokens come from the caller, so the caller's names must refer to each other.
macro_rules! agent {
    (
        $(#[$attr:meta])*
        $name:ident, $label:literal, $krate:path,
        ($($arg:pat_param = $ty:ty),*) -> $output:ty $body:block
    ) => {
        $(#[$attr])*
        #[agentcore::async_task(name = $label, crate = $krate)]
        async fn $name($($arg: $ty),*) -> $output $body
    };
}

agent! {
    /// Documented.
    add, "macro_rules::add", ::agentcore,
    ((left, _) = (u32, u32), mut right = u32) -> u32 {
        right += 1;
        left + right
    }
}

/// The macro has its own names: `input` here is not the caller's.
macro_rules! echo {
    ($name:ident, $body:expr) => {
        #[agentcore::async_task]
        async fn $name(input: u32) -> u32 {
            let result: u32 = $body;
            input + result
        }
    };
}

echo!(echo, 2);

macro_rules! methods {
    ($($name:ident => $field:tt),*) => {$(
        #[agentcore::async_task(name = "macro_rules::methods")]
        async fn $name(&self) -> u32 {
            self.$field
        }
    )*};
}

struct Pair(u32, u32);

impl Pair {
    methods!(left => 0, right => 1);
}

#[tokio::test]
async fn functions_and_methods_from_macros_work() {
    assert_eq!(add((1, 0), 2).await, 4);
    assert_eq!(echo(1).await, 3);
    let pair = Pair(5, 6);
    assert_eq!((pair.left().await, pair.right().await), (5, 6));
}
