//! Small nets answered on the CPU.
//!
//! A [`Net`] is made once of plain parameters and shared by all threads. It answers rows of f32; a row's answer has the same bits
//! alone, among others, and on any number of threads. Vector instructions are chosen when it is made ([`Instructions`]).
//!
//! Knows nobody: no training, no device, no server, no table. `models` makes a served model of it.

mod embedding;
mod error;
mod linear;
mod math;
mod mlp;
mod net;
mod resnet;
mod share;
mod simd;
mod tabm;
mod transformer;

pub use embedding::{Embedding, Numbers, Periodic, PiecewiseLinear};
pub use error::{Error, Result};
pub use linear::Linear;
pub use mlp::Mlp;
pub use net::{Body, Net, Parameters};
pub use resnet::{Affines, ResNet, ResNetBlock};
pub use share::Scratch;
pub use simd::Instructions;
pub use tabm::{TabM, TabMLayer};
pub use transformer::{FtBlock, FtTransformer};
