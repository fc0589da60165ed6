//! Nets end to end: trained from a table on disk, saved, loaded and served, on the CPU and on any GPU adapter there is.
//!
//! One binary for all of them, because linking burn takes most of their time.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and print why they are skipped"
)]

mod gpu;
mod import;
mod replica;
mod serve;
mod tables;
mod train;
