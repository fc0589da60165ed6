//! Traversal: which leaf of each tree of a forest a row falls into, and what those leaves add up to.
//!
//! Two steps. First each row of `f32` becomes small integer bytes, once ([`Coder`]): a split only ever asks on which side of
//! its threshold a value lies, and a model has finitely many thresholds a feature, so the number of those below the value says
//! all. What NaN does, whether zero counts as missing, and tests for a category are settled in the byte as well. Then every
//! split of every tree is one question: **left when `byte[code] ≤ cut`** ([`Forest`]). Bytes travel four to a word, because WGSL
//! has none.
//!
//! The walk follows cuML's forest inference (Raschka et al., 2020; `nvForest`): a cube takes a block of rows, whose bytes it keeps
//! in shared memory, and its units are (tree, row) tasks. Forests of shallow trees are laid out as perfect binary trees, which
//! need no child pointers and no branch (`PerfectTreeTraversal` of Nakandala et al., Hummingbird, OSDI 2020).
//!
//! Leaf values are added as 64-bit integers, in units of a power of two for each output, held as two words: exactly, and so in
//! any order with the same result. WGSL has no `f64`, but a row's sum has the same bits here on every device, in any batch, and in
//! the twin; what is lost is at most half a unit a leaf when it is laid out ([`Forest::unit`]).
//!
//! Values are compared as integers ([`order_key`](crate::bin::order_key)), never as floats, for the reasons that
//! [`bin`](crate::bin) gives.

mod coder;
pub mod cpu;
mod fixed;
mod forest;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(test)]
mod tests;

pub use coder::{CategoryRule, Code, Coder, Missing, NEAR_ZERO, Test};
pub use forest::{Child, Forest, Layout, Split, Tree};

/// Bytes in a word.
pub(crate) const BYTES: usize = 4;
