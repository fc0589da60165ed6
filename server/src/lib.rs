//! HTTP, settings, wire formats and errors over the engine.

mod error;
pub mod settings;
pub mod wire;

pub use error::ApiError;
