//! The small static program that becomes init of a sandbox, as bytes.
