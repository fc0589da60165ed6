//! Files of other tools, one module a format. What a file declares is checked against what it holds before anything is
//! allocated for it, and every [`Ensemble`](crate::Ensemble) that leaves this module passed [`check`](crate::Ensemble::check).

pub mod catboost;
pub mod lightgbm;
pub mod onnx;
pub mod treelite;
pub mod xgboost;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `XGBoost`'s JSON.
    XgboostJson,
    /// `XGBoost`'s universal binary JSON.
    XgboostUbj,
    /// `LightGBM`'s text.
    Lightgbm,
    /// `CatBoost`'s JSON.
    Catboost,
    /// ONNX with the operators of `ai.onnx.ml`.
    Onnx,
    /// treelite's checkpoint.
    Treelite,
}

impl Format {
    /// The name in settings and metadata.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XgboostJson => "xgboost-json",
            Self::XgboostUbj => "xgboost-ubj",
            Self::Lightgbm => "lightgbm",
            Self::Catboost => "catboost",
            Self::Onnx => "onnx",
            Self::Treelite => "treelite",
        }
    }
}
