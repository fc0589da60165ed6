//! Models: from a table to an artifact, and from an artifact to rows computed on a device. Implements the traits of
//! `contract` and knows neither `engine` nor `server`.

pub mod artifact;
mod batches;
pub mod compare;
pub mod device;
mod error;
mod host_replica;
pub mod identity;
pub mod import;
pub mod neural;
pub mod score;
pub mod table;
pub mod tree;

pub use error::{Error, Result};
