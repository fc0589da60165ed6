//! What a file holds, in its own words: one set of types for JSON and UBJ. Of what XGBoost writes, that which answers
//! need.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, SeqAccess, Visitor},
};

/// Named parameters. XGBoost writes most of them as strings.
pub(super) type Parameters = BTreeMap<String, Text>;

#[derive(Deserialize)]
pub(super) struct File {
    #[serde(default)]
    pub(super) version: Vec<u32>,
    pub(super) learner: Option<Learner>,
    /// In the place of `learner` in what `Booster.__getstate__` (pickle) writes.
    #[serde(rename = "Model")]
    pub(super) snapshot: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct Learner {
    #[serde(default)]
    pub(super) attributes: Parameters,
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    #[serde(default)]
    pub(super) feature_types: Vec<String>,
    pub(super) gradient_booster: Booster,
    pub(super) learner_model_param: Parameters,
    pub(super) objective: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
pub(super) struct Booster {
    pub(super) name: String,
    /// The trees, unless the booster is `dart`.
    pub(super) model: Option<Model>,
    /// The trees of `dart`.
    pub(super) gbtree: Option<Inner>,
    /// By tree.
    #[serde(default)]
    pub(super) weight_drop: Vec<Float>,
}

#[derive(Deserialize)]
pub(super) struct Inner {
    pub(super) model: Model,
}

/// Everything may be absent, so that a `gblinear` model gets as far as being refused by its name.
#[derive(Deserialize)]
pub(super) struct Model {
    #[serde(default)]
    pub(super) gbtree_model_param: Parameters,
    #[serde(default)]
    pub(super) tree_info: Vec<i32>,
    #[serde(default)]
    pub(super) trees: Vec<TreeFile>,
    /// Since 3.1.
    pub(super) cats: Option<Cats>,
}

#[derive(Deserialize)]
pub(super) struct Cats {
    /// By feature; empty when no feature has named categories.
    pub(super) enc: Vec<Names>,
}

/// A feature's categories: strings when there are offsets, else whole numbers. Features without categories have
/// neither.
#[derive(Deserialize)]
pub(super) struct Names {
    pub(super) offsets: Option<Vec<i32>>,
    /// The strings' bytes, signed; or the numbers.
    #[serde(default)]
    pub(super) values: Vec<i64>,
}

#[derive(Deserialize)]
pub(super) struct TreeFile {
    pub(super) tree_param: Parameters,
    /// -1 for leaves.
    pub(super) left_children: Vec<i32>,
    pub(super) right_children: Vec<i32>,
    pub(super) split_indices: Vec<i64>,
    /// Thresholds; at leaves of one number, that number.
    pub(super) split_conditions: Vec<Float>,
    pub(super) default_left: Vec<Flag>,
    /// Whether a split is by category; absent in files from before there were such splits.
    #[serde(default)]
    pub(super) split_type: Vec<Flag>,
    #[serde(default)]
    pub(super) categories: Vec<i32>,
    #[serde(default)]
    pub(super) categories_nodes: Vec<i32>,
    #[serde(default)]
    pub(super) categories_segments: Vec<i64>,
    #[serde(default)]
    pub(super) categories_sizes: Vec<i64>,
    #[serde(default)]
    pub(super) sum_hessian: Vec<Float>,
    /// Vector leaves as 2.1 writes them: as many numbers as outputs for each node.
    #[serde(default)]
    pub(super) base_weights: Vec<Float>,
    /// Vector leaves as 3.2 writes them: as many numbers as outputs for each leaf, whose number is its entry in
    /// `right_children`.
    pub(super) leaf_weights: Option<Vec<Float>>,
}

/// Stands for NaN, which JSON does not have; see [`json`](super::json).
pub(super) const NAN: u64 = u64::MAX;
/// Stands for infinity.
pub(super) const INFINITY: u64 = u64::MAX - 1;
/// Stands for minus infinity.
pub(super) const MINUS_INFINITY: i64 = i64::MIN;

/// A 32-bit number.
#[derive(Clone, Copy)]
pub(super) struct Float(pub(super) f32);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Float;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Float, E> {
                Ok(Float(value as f32))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Float, E> {
                Ok(Float(if value == MINUS_INFINITY { f32::NEG_INFINITY } else { value as f32 }))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Float, E> {
                Ok(Float(match value {
                    NAN => f32::NAN,
                    INFINITY => f32::INFINITY,
                    value => value as f32,
                }))
            }
        }
        // With `float_roundtrip`, asking for an f32 is what makes serde_json round but once.
        deserializer.deserialize_f32(Visit)
    }
}

/// Yes or no, as a number or (in old files) as a boolean.
#[derive(Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0, 1, true or false")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Flag, E> {
                match value {
                    0 => Ok(Flag(false)),
                    1 => Ok(Flag(true)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Signed(other), &self)),
                }
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Flag, E> {
                i64::try_from(value).map_err(E::custom).and_then(|value| self.visit_i64(value))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

/// A parameter: a string mostly, or what can be written as one.
#[derive(Clone)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Entry::deserialize(deserializer)? {
            Entry::Text(Self(text)) => Ok(Self(text)),
            Entry::Block(_) | Entry::Other => Err(D::Error::custom("expected a string or a number as parameter")),
        }
    }
}

/// A parameter, a block of them, or something that answers do not need (such as ranking's position biases).
pub(super) enum Entry {
    Text(Text),
    Block(BTreeMap<String, Entry>),
    Other,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a parameter")
            }

            fn visit_str<E>(self, value: &str) -> Result<Entry, E> {
                Ok(Entry::Text(Text(value.to_owned())))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Entry, E> {
                Ok(Entry::Text(Text(value.to_string())))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Entry, E> {
                Ok(Entry::Text(Text(value.to_string())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Entry, E> {
                Ok(Entry::Text(Text(value.to_string())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Entry, E> {
                Ok(Entry::Text(Text(value.to_string())))
            }

            fn visit_unit<E>(self) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry::Other)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let mut block = BTreeMap::new();
                while let Some((name, entry)) = map.next_entry()? {
                    block.insert(name, entry);
                }
                Ok(Entry::Block(block))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}
