//! Real servers, spoken to over real sockets.

mod both;
mod configuration;
mod entrypoints;
mod hostile;
mod isolation;
mod ping_handler;
mod shutdown;
mod start;
mod streams;
mod support;
