//! The process back end, from outside: real guests, real endings.

#[path = "process/support.rs"]
mod support;

#[path = "process/endings.rs"]
mod endings;
#[path = "process/manager.rs"]
mod manager;
#[path = "process/streams.rs"]
mod streams;
