//! Tables: CSV and Parquet in, with types inferred and missing values kept; splits; encoders that are fitted in training
//! and saved with the model; and the same rows as tensors.
//!
//! Invariants:
//! - the same row gives the same encoded bits from a table, from a streamed batch and from a request's tensors, because all
//!   three are read through the same cells;
//! - an encoder gives finite numbers for any input;
//! - nothing is learned from rows outside of the training split.

mod cell;
mod column;
pub(crate) mod columns;
mod csv;
mod data;
mod date;
mod encode;
mod infer;
mod read;
mod reader;
mod split;
mod target;
mod tensors;
mod write;

pub(crate) use cell::{Cell, Unfit};
pub use data::Table;
pub use encode::{EncoderOptions, Encoders, NumericEncoding, Segment};
pub use reader::{TableOptions, TableReader};
pub use split::split;
pub use target::TargetEncoder;
pub use tensors::tensors;
pub use write::TableWriter;
