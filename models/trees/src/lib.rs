//! Boosted trees and forests: one [`Ensemble`] for every tool that trains them.
//!
//! - [`import`] reads the files of `XGBoost`, `LightGBM`, `CatBoost`, ONNX and treelite into an [`Ensemble`], keeping the
//!   source's own comparison, precision, missing values and categories.
//! - [`export`] writes one as a file of another tool.
//! - [`mod@reference`] answers by walking node by node: slow, plain, and what every faster way is tested against.
//! - [`shap`] says what each column adds to an answer.
//!
//! Knows nobody: no device, no server, no table. `models` makes a served model of it.

pub mod ensemble;
mod error;
pub mod export;
pub mod import;
pub mod predict;
pub mod reference;
pub mod shap;

pub use ensemble::Ensemble;
pub use error::{Error, Result};
pub use shap::Explainer;
