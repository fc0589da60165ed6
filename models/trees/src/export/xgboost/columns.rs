//! Columns as features: their names, types, and the names of categories.

use super::{
    text::{integers, list, object, quoted},
    unsupported,
};
use crate::{
    Error, Result,
    ensemble::{Categories, Column, ColumnKind},
};

/// `Value::ValueKind::kI64Array` of XGBoost, which it gives as the type of whole numbers.
const I64_ARRAY: &str = "15";

pub(super) struct Columns<'a>(&'a [Column]);

impl<'a> Columns<'a> {
    pub(super) fn new(columns: &'a [Column]) -> Result<Self> {
        i32::try_from(columns.len()).map_err(|_| Error::content("fewer than 2^31 columns", columns.len()))?;
        for column in columns {
            if let ColumnKind::Category(Categories::Strings(names)) = &column.kind
                && !names.iter().all(|name| name.is_ascii())
            {
                // XGBoost's Python package before 3.5 would not find them again; see `import::xgboost`.
                return Err(unsupported(format!("a category name beyond ASCII in column `{}`", column.name)));
            }
        }
        Ok(Self(columns))
    }

    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether a column holds categories, so that its numbers are codes.
    pub(super) fn is_category(&self, column: u32) -> bool {
        matches!(self.0.get(column as usize), Some(Column { name: _, kind: ColumnKind::Category(_) }))
    }

    /// Names, unless they are the ones that XGBoost gives to columns without: it would ask for these from then on.
    pub(super) fn names(&self) -> String {
        let made_up = self.0.iter().enumerate().all(|(index, column)| column.name == format!("f{index}"));
        if made_up { "[]".to_owned() } else { list(self.0.iter().map(|column| quoted(&column.name))) }
    }

    pub(super) fn types(&self) -> String {
        if self.0.iter().all(|column| column.kind == ColumnKind::Float) && self.names() == "[]" {
            return "[]".to_owned();
        }
        list(self.0.iter().map(|column| {
            quoted(match &column.kind {
                ColumnKind::Float => "float",
                ColumnKind::Integer => "int",
                ColumnKind::Boolean => "i",
                ColumnKind::Category(_) => "c",
            })
        }))
    }

    /// The block `cats`.
    pub(super) fn categories(&self) -> String {
        let mut names = Vec::with_capacity(self.0.len());
        let mut segments = vec![0];
        let mut sorted = Vec::new();
        for column in self.0 {
            let order = match &column.kind {
                ColumnKind::Category(Categories::Strings(strings)) => {
                    names.push(of_strings(strings));
                    sorted_places(strings)
                }
                ColumnKind::Category(Categories::Integers(numbers)) => {
                    names.push(object(&[("type", I64_ARRAY.to_owned()), ("values", integers(numbers))]));
                    sorted_places(numbers)
                }
                ColumnKind::Category(Categories::Codes)
                | ColumnKind::Float
                | ColumnKind::Integer
                | ColumnKind::Boolean => {
                    names.push(of_strings(&[]));
                    Vec::new()
                }
            };
            sorted.extend(order);
            segments.push(sorted.len());
        }
        if sorted.is_empty() {
            (names, segments) = (Vec::new(), Vec::new());
        }
        object(&[
            ("enc", list(names.into_iter())),
            ("feature_segments", integers(segments)),
            ("sorted_idx", integers(sorted)),
        ])
    }
}

fn of_strings(strings: &[String]) -> String {
    let mut offsets = Vec::with_capacity(strings.len() + 1);
    if !strings.is_empty() {
        offsets.push(0);
    }
    let mut end = 0;
    for string in strings {
        end += string.len();
        offsets.push(end);
    }
    let bytes = strings.iter().flat_map(|string| string.bytes());
    object(&[("offsets", integers(offsets)), ("values", integers(bytes))])
}

/// The places of the names in their order.
fn sorted_places<T: Ord>(names: &[T]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..names.len()).collect();
    places.sort_by_key(|place| &names[*place]);
    places
}
