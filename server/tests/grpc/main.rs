//! The inference protocol over gRPC, on a free port, over fake models.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod access;
mod caching;
mod calls;
mod datatypes;
mod errors;
mod extensions;
mod harness;
mod lifecycle;
mod standard;
mod stream;
mod tritonclient;
