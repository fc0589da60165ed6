//! The crate from outside.

mod predict;
mod random;
