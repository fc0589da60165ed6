//! Files of other tools, one module a format. What a file declares is checked against what it holds before anything is
//! allocated for it, and every [`Ensemble`] that leaves this module passed [`check`](crate::Ensemble::check).

pub mod catboost;
pub mod lightgbm;
pub mod onnx;
pub mod treelite;
pub mod xgboost;

use crate::{Ensemble, Error, Result};

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

/// Reads a model file of any format that [`Format::detect`] knows.
///
/// # Errors
/// [`Error::Content`] when it is none of them, or contradicts its format; [`Error::Unsupported`] when it asks for what is not
/// supported.
pub fn read(bytes: &[u8]) -> Result<Ensemble> {
    let known = "a model file of XGBoost (JSON or UBJ), LightGBM (text), CatBoost (JSON), ONNX or treelite";
    Format::detect(bytes).ok_or_else(|| Error::content(known, "something else"))?.read(bytes)
}

/// Columns, or outputs, that a file of so many bytes may declare without showing them: names and kinds are made of their number
/// alone, at some hundred bytes each. A real model of many columns that few trees ask (hashed words: 2^20) has the bytes.
pub(crate) const fn unseen(bytes: usize) -> usize {
    /// 7 MB, whatever the file.
    const ANYWAY: usize = 1 << 16;
    let most = bytes.saturating_mul(4);
    if most < ANYWAY { ANYWAY } else { most }
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::XgboostJson, Self::XgboostUbj, Self::Lightgbm, Self::Catboost, Self::Onnx, Self::Treelite];

    /// The format of a file, by its first bytes and the names in it.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        /// Where the names of a JSON model's outer members are, whatever their order.
        const LOOKED_AT: usize = 1 << 16;
        let text = bytes.trim_ascii_start();
        let begins = |with: &[u8]| text.starts_with(with);
        let ends = &text[text.len() - text.len().min(LOOKED_AT)..];
        let holds = |name: &[u8]| {
            let head = &text[..text.len().min(LOOKED_AT)];
            [head, ends].iter().any(|part| part.windows(name.len()).any(|window| window == name))
        };
        if begins(b"tree") {
            return Some(Self::Lightgbm);
        }
        if begins(b"{L") || begins(b"{l") || begins(b"{i") || begins(b"{U") || begins(b"{I") {
            return Some(Self::XgboostUbj);
        }
        if begins(b"{") {
            let catboost = holds(b"\"oblivious_trees\"") || holds(b"\"model_info\"") || holds(b"\"features_info\"");
            return Some(if catboost { Self::Catboost } else { Self::XgboostJson });
        }
        match bytes {
            // Major version 3 or 4 and a small minor one, each an i32.
            [3 | 4, 0, 0, 0, _, 0, 0, 0, ..] => Some(Self::Treelite),
            // XGBoost's old binary form, with or without its mark: its reader tells the way out. Without, it begins with the base score, which
            // was 0.5 unless somebody set it.
            [b'b', b'i', b'n', b'f', ..] | [0, 0, 0, 0x3f, ..] => Some(Self::XgboostJson),
            // `ir_version`, the first field of an ONNX model.
            [0x08, _, ..] => Some(Self::Onnx),
            _ => None,
        }
    }

    /// Reads a file of this format.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(self, bytes: &[u8]) -> Result<Ensemble> {
        match self {
            Self::XgboostJson => xgboost::read_json(bytes),
            Self::XgboostUbj => xgboost::read_ubj(bytes),
            Self::Lightgbm => lightgbm::read(bytes),
            Self::Catboost => catboost::read_json(bytes),
            Self::Onnx => onnx::read(bytes),
            Self::Treelite => treelite::read(bytes),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_content() {
        let detected: [(&[u8], Option<Format>); 10] = [
            (b"tree\nversion=v4\n", Some(Format::Lightgbm)),
            (b"{L\0\0\0\0\0\0\0\x07learner{", Some(Format::XgboostUbj)),
            (b"{\"learner\":{", Some(Format::XgboostJson)),
            (b" {\n\"features_info\": {", Some(Format::Catboost)),
            (b"{\"oblivious_trees\": [", Some(Format::Catboost)),
            (b"\x04\0\0\0\x08\0\0\0\x01\0\0\0\x02", Some(Format::Treelite)),
            (b"\x08\x08\x12\x07skl2onnx", Some(Format::Onnx)),
            (b"binf\0\0\0\x3f", Some(Format::XgboostJson)),
            (b"PK\x03\x04", None),
            (b"", None),
        ];
        for (bytes, format) in detected {
            assert_eq!(Format::detect(bytes), format, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_is_no_model_is_said_so() {
        let error = read(b"id,price\n1,2\n").unwrap_err().to_string();
        let known = "a model file of XGBoost (JSON or UBJ), LightGBM (text), CatBoost (JSON), ONNX or treelite";
        assert_eq!(error, format!("expected {known}, got something else"));
    }
}
