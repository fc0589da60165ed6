//! The real binary, driven as its users drive it: by its command line and over HTTP.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests fail the test")]

mod bench;
mod demo;
mod doctor;
mod harness;
mod imports;
mod kills;
mod nets;
mod quantiles;
mod serving;
mod settings;
mod tables;
mod training;
