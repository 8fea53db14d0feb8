//! Real servers, over real sockets.

mod both;
mod bounds;
mod browser;
mod cancellation;
mod configuration;
mod debug_actions;
mod dev_page;
mod drops;
mod embedded;
mod endings;
mod entrypoints;
mod extraction;
mod faults;
mod flags;
mod hostile;
mod isolation;
mod jobs;
mod layers;
mod limits;
#[cfg(target_os = "linux")]
mod listeners;
mod log_lines;
mod logs;
mod metrics;
#[path = "../not_tested.rs"]
mod not_tested;
mod old_tasks;
mod panics;
mod paths;
mod ping_handler;
#[cfg(target_os = "linux")]
mod platform;
mod probes;
mod replies;
#[cfg(target_os = "linux")]
#[path = "support/restorable.rs"]
mod restorable;
#[cfg(target_os = "linux")]
mod restored;
mod routes;
mod shutdown;
mod shutdown_matrix;
mod start;
mod stream_limits;
mod streams;
mod support;
mod tools;
mod warmup;
// Beside the other support files, but only this suite uses it.
#[path = "support/browser.rs"]
mod webdriver;
mod websocket;
