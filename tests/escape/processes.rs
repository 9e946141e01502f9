//! P: processes, identity, and what belongs to neither.

mod identity;
mod init;
mod others;
mod shared;
