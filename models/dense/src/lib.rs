//! Small nets answered on the CPU.
//!
//! A [`Net`] is made once of plain parameters and shared by all threads. It answers rows of f32; a row's answer has the same bits
//! alone, among others, and on any number of threads. Vector instructions are chosen when it is made ([`Instructions`]).
//!
//! ```
//! use dense::{Body, Linear, Mlp, Net, Parameters, Scratch};
//!
//! // 2 → 3 → 1; weights are `[inputs, units]`.
//! let first = Linear { inputs: 2, units: 3, weight: &[1.0, 0.0, -1.0, 0.0, 1.0, 1.0], bias: &[0.0, 0.5, 0.0] };
//! let last = Linear { inputs: 3, units: 1, weight: &[1.0, 2.0, 3.0], bias: &[0.25] };
//! let net = Net::new(&Parameters { embedding: None, body: Body::Mlp(Mlp { layers: vec![first, last] }) })?;
//! let mut answers = [0.0; 2];
//! net.run(&[1.0, 2.0, -1.0, 0.0], &mut Scratch::default(), &mut answers)?;
//! assert_eq!(answers, [9.25, 4.25]);
//! # Ok::<(), dense::Error>(())
//! ```
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
mod team;
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
