//! The serving engine: everything between a decoded request and a model's answer, and all that is remembered about
//! models and predictions. It knows no GPU crate and no web crate; models reach it through the traits of `contract`.

mod error;
pub mod features;
pub mod feedback;
mod house;
pub mod jobs;
pub mod monitor;
pub mod registry;
pub mod serve;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::{Error, Result};
pub use house::{Engine, EngineSettings};
