//! Real servers, spoken to over real sockets.

mod both;
mod browser;
mod cancellation;
mod configuration;
mod debug_actions;
mod dev_page;
mod entrypoints;
mod faults;
mod flags;
mod hostile;
mod isolation;
mod layers;
mod limits;
mod old_tasks;
mod panics;
mod ping_handler;
mod platform;
mod probes;
mod replies;
mod shutdown;
mod shutdown_matrix;
mod start;
mod streams;
mod support;
mod websocket;
