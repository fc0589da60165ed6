//! The crate from outside.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do, and say what they skipped and how near they came"
)]

mod checkpoint;
mod predict;
mod random;
mod saved;
mod shap;
mod support;
mod treelite;
mod treelite_export;
mod treelite_lies;
