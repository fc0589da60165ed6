//! What of the file is read.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

/// The file.
#[derive(Deserialize)]
pub(super) struct Model {
    #[serde(default)]
    pub(super) model_info: Map<String, Value>,
    pub(super) features_info: Features,
    /// Symmetric trees.
    pub(super) oblivious_trees: Option<Vec<Oblivious>>,
    /// Trees of the grow policies Depthwise and Lossguide.
    pub(super) trees: Option<Vec<Branch>>,
    /// The factor, and what is added behind it.
    pub(super) scale_and_bias: Option<(f64, OneOrMore)>,
}

/// The columns by their kinds. A kind that the model has none of is missing, or null.
#[derive(Deserialize)]
pub(super) struct Features {
    pub(super) float_features: Option<Vec<FloatFeature>>,
    pub(super) categorical_features: Option<Vec<CategoricalFeature>>,
    pub(super) text_features: Option<Vec<IgnoredAny>>,
    pub(super) embedding_features: Option<Vec<IgnoredAny>>,
    pub(super) ctrs: Option<Vec<IgnoredAny>>,
    /// Names of the categories of all columns.
    pub(super) cat_features_hash: Option<Vec<Hashed>>,
}

#[derive(Deserialize)]
pub(super) struct FloatFeature {
    /// Number among the columns of its kind, which splits use.
    pub(super) feature_index: u32,
    /// Number among all columns.
    pub(super) flat_feature_index: u32,
    pub(super) feature_id: Option<String>,
    pub(super) feature_name: Option<String>,
    #[serde(default)]
    pub(super) has_nans: bool,
    pub(super) nan_value_treatment: Option<NanTreatment>,
}

/// What a NaN becomes before it meets a border.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum NanTreatment {
    /// Itself, which is above no border.
    #[serde(rename = "AsIs")]
    Itself,
    /// Negative infinity.
    #[serde(rename = "AsFalse")]
    Least,
    /// Infinity.
    #[serde(rename = "AsTrue")]
    Greatest,
}

#[derive(Deserialize)]
pub(super) struct CategoricalFeature {
    pub(super) feature_index: u32,
    pub(super) flat_feature_index: u32,
    pub(super) feature_id: Option<String>,
    pub(super) feature_name: Option<String>,
    /// Hashes of the categories that one-hot splits ask for.
    pub(super) values: Option<Vec<i32>>,
}

/// A category and its hash.
#[derive(Deserialize)]
pub(super) struct Hashed {
    pub(super) hash: u32,
    pub(super) value: String,
}

/// A symmetric tree: one split a level, the lowest bit of the leaf's number first.
#[derive(Deserialize)]
pub(super) struct Oblivious {
    /// Null in a tree of one leaf.
    pub(super) splits: Option<Vec<Split>>,
    /// Leaf by leaf, as many each as the model has dimensions.
    pub(super) leaf_values: Vec<f64>,
    pub(super) leaf_weights: Option<Vec<f64>>,
}

/// A node of another tree, and what hangs below it: a split with both sides, or a leaf's value.
#[derive(Deserialize)]
pub(super) struct Branch {
    pub(super) split: Option<Split>,
    pub(super) left: Option<Box<Branch>>,
    pub(super) right: Option<Box<Branch>>,
    pub(super) value: Option<OneOrMore>,
    pub(super) weight: Option<f64>,
}

/// A split; which of its fields are there depends on its type.
#[derive(Deserialize)]
pub(super) struct Split {
    pub(super) split_type: String,
    pub(super) float_feature_index: Option<u32>,
    pub(super) border: Option<f64>,
    pub(super) cat_feature_index: Option<u32>,
    pub(super) value: Option<i32>,
}

/// A number, or a list of some.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(f64),
    More(Vec<f64>),
}

impl OneOrMore {
    pub(super) fn as_slice(&self) -> &[f64] {
        match self {
            Self::One(number) => std::slice::from_ref(number),
            Self::More(numbers) => numbers,
        }
    }
}
