//! HTTP, gRPC, wire formats, settings and errors over the engine. It knows no GPU crate and computes nothing.
//!
//! [`settings::ServerSettings`] says how, [`start`] serves an [`engine::Engine`], and [`Running::stop`] ends it.

mod access;
pub mod boot;
mod cache_control;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grpc;
mod http;
pub mod logs;
mod oip;
mod scheduling;
pub mod settings;
mod shared_memory;
mod state;
mod tfs;
mod trace;
pub mod wire;

pub use boot::{Ended, Running, StartError, start, start_with_logs};
pub use error::ApiError;
