//! Features of entities, looked up by id when a prediction is asked for: the embedded store, and the way from its rows to
//! a model's inputs.
//!
//! A view is a named set of rows; a row is what is known about one entity. The store does not know models: which columns
//! a model wants, and in which form, is told to [`to_tensors`] by the model's signature.

mod row;
mod store;
mod tensors;

pub use row::FeatureRow;
pub use store::{FeatureStore, ViewInfo};
pub use tensors::to_tensors;
