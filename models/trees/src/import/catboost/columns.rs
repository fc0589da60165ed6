//! The columns, and what splits ask of them.

use std::collections::{HashMap, HashSet};

use super::file::{CategoricalFeature, Features, NanTreatment, Split};
use crate::{
    Error, Result,
    ensemble::{Categories, Column, ColumnKind, Missing},
};

/// The columns as splits name them.
pub(super) struct Columns {
    float: HashMap<u32, Float>,
    categorical: HashMap<u32, Categorical>,
}

struct Float {
    column: u32,
    missing: Missing,
}

struct Categorical {
    column: u32,
    /// By hash, the category's code.
    codes: HashMap<i32, u32>,
}

/// What a split asks.
pub(super) enum Question {
    /// Whether the column is above the border; the missing one goes where it says.
    Above { column: u32, border: f64, missing: Missing },
    /// Whether the column has the category.
    Is { column: u32, code: u32 },
}

/// Reads the columns, in the order of the table.
pub(super) fn columns(features: &Features) -> Result<(Vec<Column>, Columns)> {
    let Features { float_features, categorical_features, text_features, embedding_features, ctrs, cat_features_hash } =
        features;
    let refused = [
        ("text_features", "text features", text_features, "train on numbers made of the text"),
        ("embedding_features", "embedding features", embedding_features, "give each number of the embedding a column"),
        (
            "ctrs",
            "target statistics of categories (CTR, `ctrs`)",
            ctrs,
            "train with `one_hot_max_size` at the largest number of categories, or encode them before",
        ),
    ];
    for (_, what, list, instead) in refused {
        if list.as_ref().is_some_and(|list| !list.is_empty()) {
            return Err(Error::unsupported(what, instead));
        }
    }
    let names: HashMap<u32, &str> =
        cat_features_hash.iter().flatten().map(|hashed| (hashed.hash, hashed.value.as_str())).collect();
    let mut found = Columns { float: HashMap::new(), categorical: HashMap::new() };
    let mut placed: Vec<(u32, Column)> = Vec::new();
    for feature in float_features.iter().flatten() {
        let column = feature.flat_feature_index;
        // The treatment holds only for columns that had missing values; in others a NaN is above no border.
        let up = feature.has_nans && feature.nan_value_treatment == Some(NanTreatment::Greatest);
        let missing = if up { Missing::Right } else { Missing::Left };
        if found.float.insert(feature.feature_index, Float { column, missing }).is_some() {
            return Err(Error::content("each `float_features` index once", feature.feature_index));
        }
        let name = name([&feature.feature_name, &feature.feature_id], column);
        placed.push((column, Column { name, kind: ColumnKind::Float }));
    }
    for feature in categorical_features.iter().flatten() {
        let column = feature.flat_feature_index;
        let name = name([&feature.feature_name, &feature.feature_id], column);
        let (codes, categories) = categories(feature, &name, &names)?;
        if found.categorical.insert(feature.feature_index, Categorical { column, codes }).is_some() {
            return Err(Error::content("each `categorical_features` index once", feature.feature_index));
        }
        placed.push((column, Column { name, kind: ColumnKind::Category(categories) }));
    }
    placed.sort_by_key(|(column, _)| *column);
    if let Some((place, (column, _))) =
        placed.iter().enumerate().find(|(place, (column, _))| *place != *column as usize)
    {
        return Err(Error::content(format!("a column of `flat_feature_index` {place}"), column));
    }
    Ok((placed.into_iter().map(|(_, column)| column).collect(), found))
}

/// The name, or the column's number, which is how `CatBoost` calls columns without a name.
fn name(names: [&Option<String>; 2], column: u32) -> String {
    let named = names.into_iter().flatten().find(|name| !name.is_empty());
    named.cloned().unwrap_or_else(|| column.to_string())
}

/// The categories that splits ask for. All others are alike to the model, as what is missing is.
fn categories(
    feature: &CategoricalFeature,
    column: &str,
    names: &HashMap<u32, &str>,
) -> Result<(HashMap<i32, u32>, Categories)> {
    let values = feature.values.as_deref().unwrap_or_default();
    let mut codes = HashMap::new();
    let mut named = Vec::with_capacity(values.len());
    let mut seen = HashSet::new();
    for value in values {
        // Written as an i32 here and as an u32 beside the names.
        let Some(name) = names.get(&value.cast_unsigned()) else {
            return Err(Error::unsupported(
                format!("the hash {value} in place of a category of the column `{column}`"),
                "save the model with its training pool, `save_model(path, format=\"json\", pool=pool)`, which writes the names",
            ));
        };
        if codes.insert(*value, named.len() as u32).is_some() || !seen.insert(*name) {
            return Err(Error::content(format!("each category once in `values` of the column `{column}`"), name));
        }
        named.push((*name).to_owned());
    }
    // CatBoost hashes a whole number as its digits, so the table may have held either; digits mostly come from numbers.
    let whole = |name: &String| name.parse::<i64>().ok().filter(|number| number.to_string() == *name);
    let numbers: Option<Vec<i64>> = named.iter().map(whole).collect();
    Ok((
        codes,
        match numbers {
            Some(numbers) if !numbers.is_empty() => Categories::Integers(numbers),
            _ => Categories::Strings(named),
        },
    ))
}

impl Columns {
    /// What a split asks.
    pub(super) fn question(&self, split: &Split) -> Result<Question> {
        let Split { split_type, float_feature_index, border, cat_feature_index, value } = split;
        match split_type.as_str() {
            "FloatFeature" => {
                let (Some(index), Some(border)) = (float_feature_index, border) else {
                    return Err(Error::content("`float_feature_index` and `border` in a split", "none"));
                };
                let Some(feature) = self.float.get(index) else {
                    return Err(Error::content("the index of one of `float_features`", index));
                };
                // The file writes the digits of an f32.
                let border = f64::from(*border as f32);
                Ok(Question::Above { column: feature.column, border, missing: feature.missing })
            }
            "OneHotFeature" => {
                let (Some(index), Some(value)) = (cat_feature_index, value) else {
                    return Err(Error::content("`cat_feature_index` and `value` in a split", "none"));
                };
                let Some(feature) = self.categorical.get(index) else {
                    return Err(Error::content("the index of one of `categorical_features`", index));
                };
                let Some(code) = feature.codes.get(value) else {
                    return Err(Error::content(format!("one of the `values` of categorical feature {index}"), value));
                };
                Ok(Question::Is { column: feature.column, code: *code })
            }
            "OnlineCtr" => Err(Error::unsupported(
                "a split by target statistics of categories (`OnlineCtr`)",
                "train with `one_hot_max_size` at the largest number of categories, or encode them before",
            )),
            other => {
                Err(Error::unsupported(format!("a split of type `{other}`"), "train on numbers and categories alone"))
            }
        }
    }
}
