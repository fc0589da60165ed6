//! Small nets answered on the CPU.
//!
//! A [`Net`] is made once of plain parameters and shared by all threads. It answers rows of f32; a row's answer has the same bits
//! alone, among others, and on any number of threads. Vector instructions are chosen when it is made ([`Instructions`]).
//!
//! Knows nobody: no training, no device, no server, no table. `models` makes a served model of it.

mod error;
mod linear;
mod mlp;
mod net;
mod share;
mod simd;

pub use error::{Error, Result};
pub use linear::Linear;
pub use mlp::Mlp;
pub use net::{Body, Net, Parameters};
pub use share::Scratch;
pub use simd::Instructions;
