//! The crate from outside.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do, and say what they skipped and how near they came"
)]

mod catboost;
mod catboost_lies;
mod check;
mod checkpoint;
mod golden;
mod lightgbm;
mod lightgbm_lies;
mod mutate;
mod onnx;
mod onnx_lies;
mod plain;
mod predict;
mod random;
mod saved;
mod shap;
mod support;
mod treelite;
mod treelite_export;
mod treelite_lies;
mod xgboost;
mod xgboost_export;
mod xgboost_lies;
