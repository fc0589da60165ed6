//! Tables, encoders, artifacts and imports, through the public interface.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and print why they are skipped"
)]

mod artifacts;
mod corruption;
mod csv;
mod encoders;
mod imports;
mod parquet;
mod real;
mod support;
mod targets;
