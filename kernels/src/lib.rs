//! CubeCL GPU kernels, one folder per operation, each beside its plain-Rust twin and tested by one body on every runtime.
//!
//! This crate knows nobody: it takes slices, or buffers on a CubeCL client that the caller opened. The `gpu` halves need
//! the feature `gpu`; `wgpu`, `vulkan` and `cuda` turn it on and link a runtime to launch on. Without it the twins remain.

pub mod bin;
#[cfg(feature = "gpu")]
mod buffer;
#[cfg(all(test, feature = "gpu"))]
mod devices;
mod error;
pub mod traverse;

pub use error::{Error, Result};
