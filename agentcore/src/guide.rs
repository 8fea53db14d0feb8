#![doc = include_str!("../docs/guide.md")]
//!
//! Only documentation: in a build this module is not there.

pub mod quick_start {
    #![doc = include_str!("../docs/guide/quick_start.md")]
}
pub mod concepts {
    #![doc = include_str!("../docs/guide/concepts.md")]
}
pub mod errors {
    #![doc = include_str!("../docs/guide/errors.md")]
}
pub mod streaming {
    #![doc = include_str!("../docs/guide/streaming.md")]
}
pub mod websockets {
    #![doc = include_str!("../docs/guide/websockets.md")]
}
pub mod background {
    #![doc = include_str!("../docs/guide/background.md")]
}
pub mod state {
    #![doc = include_str!("../docs/guide/state.md")]
}
pub mod configuration {
    #![doc = include_str!("../docs/guide/configuration.md")]
}
pub mod testing {
    #![doc = include_str!("../docs/guide/testing.md")]
}
pub mod from_python {
    #![doc = include_str!("../docs/guide/from_python.md")]
}
pub mod faq {
    #![doc = include_str!("../docs/guide/faq.md")]
}
