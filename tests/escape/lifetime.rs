//! L: how runs end, and that they do.

mod endings;
mod hosts;
mod leftovers;
mod streams;
