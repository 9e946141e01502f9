//! H: failing closed, and saying what is so.

mod endings;
mod faults;
mod receipt;
mod sys;
