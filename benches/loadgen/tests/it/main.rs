//! The generator against servers whose behaviour is known.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod faults;
mod grpc;
mod harness;
mod loads;
mod searches;
