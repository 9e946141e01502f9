//! The process back end, from outside: real guests, real endings.

#[path = "process/support.rs"]
mod support;

#[path = "process/alone.rs"]
mod alone;
#[path = "process/endings.rs"]
mod endings;
#[path = "process/levels.rs"]
mod levels;
#[path = "process/life.rs"]
mod life;
#[path = "process/limits.rs"]
mod limits;
#[path = "process/manager.rs"]
mod manager;
#[path = "process/secrets.rs"]
mod secrets;
#[path = "process/streams.rs"]
mod streams;
