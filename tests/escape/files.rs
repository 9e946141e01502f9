//! F: the host's files.

mod devices;
mod kernel_interfaces;
mod left_behind;
mod mounts;
mod names;
mod races;
mod shown;
