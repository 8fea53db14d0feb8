//! Puts a real agent under load and checks that its status stays true.
//!
//! ```text
//! agent      a separate process, observed from outside: memory, descriptors, log
//! client     raw bytes over loopback; websocket on top of it
//! ping       a steady stream of pings, with the times around each
//! knowledge  what must be true at which time, and whether the pings agree
//! soak, in_flight, hostile, kill, routes, restore, instructions, compare      the commands
//! report     figures and their limits
//! ```

mod agent;
mod client;
pub mod clock;
pub mod compare;
mod files;
pub mod hostile;
pub mod in_flight;
pub mod instructions;
pub mod kill;
mod knowledge;
mod ping;
mod random;
pub mod report;
pub mod restore;
pub mod routes;
pub mod soak;
mod websocket;

pub use agent::Lines;
