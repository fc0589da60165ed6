//! TensorFlow Serving's API over HTTP and gRPC, on free ports, over fake models.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod caching;
mod calls;
mod client;
mod datatypes;
mod echo;
mod errors;
mod examples;
mod harness;
mod hostile;
mod models;
mod nesting;
mod scorer;
