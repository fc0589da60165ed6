//! From feature rows to the inputs of a table model: one tensor per column, in the forms that such a model accepts.

use contract::{AlignedBuffer, Bitmap, ColumnKind, ColumnSpec, DataType, InputError, Strings, Tensor, Value};

use super::row::FeatureRow;
use crate::Result;

/// One tensor of shape `[rows, 1]` for each column: FP64 for numbers, BOOL for booleans, BYTES for categories and dates.
/// A feature that is absent or null is missing in its tensor. Features that are no column are left out.
///
/// # Errors
/// [`InputError::BadValue`] when a feature is not of its column's kind; [`InputError::NoRows`].
pub fn to_tensors(columns: &[ColumnSpec], rows: &[FeatureRow]) -> Result<Vec<Tensor>> {
    if rows.is_empty() {
        return Err(InputError::NoRows.into());
    }
    columns.iter().map(|column| Ok(tensor(column, rows)?)).collect()
}

fn tensor(column: &ColumnSpec, rows: &[FeatureRow]) -> Result<Tensor, InputError> {
    let shape = vec![rows.len(), 1];
    let tensor = match column.kind {
        ColumnKind::Numeric => {
            let numbers = read(column, rows, "a number", number)?;
            let numbers: Vec<_> = numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect();
            Tensor::from_values(&column.name, shape, &numbers)?
        }
        ColumnKind::Boolean => {
            let bools = read(column, rows, "true or false", boolean)?;
            let mut buffer = AlignedBuffer::with_capacity(rows.len());
            for value in bools {
                buffer.push(u8::from(value.unwrap_or(false)));
            }
            Tensor::from_buffer(&column.name, DataType::Bool, shape, buffer)?
        }
        ColumnKind::Categorical => strings(column, shape, &read(column, rows, "text", category)?)?,
        ColumnKind::Date => strings(column, shape, &read(column, rows, "a date as text", text)?)?,
    };
    let mut validity = Bitmap::default();
    for row in rows {
        validity.push(row.values.get(&column.name).is_some_and(|value| *value != Value::Null));
    }
    if validity.count_ones() == rows.len() { Ok(tensor) } else { tensor.with_validity(validity) }
}

fn strings(column: &ColumnSpec, shape: Vec<usize>, texts: &[Option<String>]) -> Result<Tensor, InputError> {
    let strings: Strings = texts.iter().map(|text| text.as_deref().unwrap_or_default()).collect();
    Tensor::from_strings(&column.name, shape, strings)
}

/// The column's values in order, none where one is missing.
fn read<'a, T>(
    column: &ColumnSpec,
    rows: &'a [FeatureRow],
    expected: &str,
    convert: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<Option<T>>, InputError> {
    let one = |(row, features): (usize, &'a FeatureRow)| match features.values.get(&column.name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => convert(value).map(Some).ok_or_else(|| InputError::BadValue {
            row,
            column: column.name.clone(),
            expected: expected.to_owned(),
            got: describe(value),
        }),
    };
    rows.iter().enumerate().map(one).collect()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(_) | Value::Float(_) => value.as_f64(),
        Value::Null | Value::Bool(_) | Value::Text(_) => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Null | Value::Int(_) | Value::Float(_) | Value::Text(_) => None,
    }
}

/// Whole numbers and booleans are categories by their text, as a table's cells are.
fn category(value: &Value) -> Option<String> {
    match value {
        Value::Text(_) | Value::Int(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Float(_) => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => None,
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("text '{text}'"),
        Value::Int(_) | Value::Float(_) => format!("the number {value}"),
        Value::Null | Value::Bool(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Error;

    fn column(name: &str, kind: ColumnKind) -> ColumnSpec {
        ColumnSpec { name: name.to_owned(), kind }
    }

    fn rows(name: &str, values: &[Option<Value>]) -> Vec<FeatureRow> {
        let row = |value: &Option<Value>| FeatureRow {
            values: value.iter().map(|value| (name.to_owned(), value.clone())).collect::<BTreeMap<_, _>>(),
            updated_at: chrono::DateTime::UNIX_EPOCH,
        };
        values.iter().map(row).collect()
    }

    fn one(kind: ColumnKind, values: &[Option<Value>]) -> Tensor {
        let mut tensors = to_tensors(&[column("c", kind)], &rows("c", values)).unwrap();
        assert_eq!(tensors.len(), 1);
        let tensor = tensors.remove(0);
        assert_eq!((tensor.name(), tensor.shape()), ("c", &[values.len(), 1][..]));
        for (i, value) in values.iter().enumerate() {
            assert_eq!(tensor.is_valid(i), !matches!(value, None | Some(Value::Null)));
        }
        tensor
    }

    fn texts(tensor: &Tensor) -> Vec<&str> {
        tensor.strings().unwrap().iter().map(|text| std::str::from_utf8(text).unwrap()).collect()
    }

    fn cell(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn numbers() {
        let tensor =
            one(ColumnKind::Numeric, &[Some(Value::Float(1.5)), Some(Value::Int(-2)), None, Some(Value::Null)]);
        let values = tensor.values::<f64>().unwrap();
        assert_eq!(&values[..2], [1.5, -2.0]);
        // Whoever overlooks the validity still sees that they are missing.
        assert!(values[2].is_nan() && values[3].is_nan());
        assert_eq!(one(ColumnKind::Numeric, &[Some(Value::Int(1))]).validity(), None);
    }

    #[test]
    fn booleans() {
        let tensor = one(ColumnKind::Boolean, &[Some(Value::Bool(true)), None, Some(Value::Bool(false))]);
        assert_eq!((tensor.datatype(), tensor.bytes()), (DataType::Bool, Some([1, 0, 0].as_slice())));
    }

    #[test]
    fn categories_and_dates() {
        let values =
            [Some(cell("red")), None, Some(Value::Int(7)), Some(Value::Bool(true)), Some(Value::Null), Some(cell(""))];
        assert_eq!(texts(&one(ColumnKind::Categorical, &values)), ["red", "", "7", "true", "", ""]);
        assert_eq!(texts(&one(ColumnKind::Date, &[Some(cell("2026-11-03")), None])), ["2026-11-03", ""]);
    }

    #[test]
    fn refuses_values_of_another_kind() {
        let wrong = [
            (ColumnKind::Numeric, Value::Text("9".to_owned()), "a number", "text '9'"),
            (ColumnKind::Numeric, Value::Bool(true), "a number", "true"),
            (ColumnKind::Boolean, Value::Int(1), "true or false", "the number 1"),
            (ColumnKind::Boolean, Value::Text("true".to_owned()), "true or false", "text 'true'"),
            (ColumnKind::Categorical, Value::Float(0.5), "text", "the number 0.5"),
            (ColumnKind::Date, Value::Int(2026), "a date as text", "the number 2026"),
        ];
        for (kind, value, expected, got) in wrong {
            let error = to_tensors(&[column("c", kind)], &rows("c", &[None, Some(value)])).unwrap_err();
            let message = format!("row 1, column 'c': expected {expected}, got {got}");
            assert!(matches!(error, Error::Input(InputError::BadValue { .. })));
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn keeps_the_order_of_columns_and_leaves_other_features_out() {
        let mut rows = rows("b", &[Some(Value::Int(2))]);
        rows[0].values.insert("a".to_owned(), Value::Int(1));
        rows[0].values.insert("other".to_owned(), Value::Text("x".to_owned()));
        let columns = [
            column("b", ColumnKind::Numeric),
            column("missing", ColumnKind::Boolean),
            column("a", ColumnKind::Numeric),
        ];
        let tensors = to_tensors(&columns, &rows).unwrap();
        assert_eq!(tensors.iter().map(Tensor::name).collect::<Vec<_>>(), ["b", "missing", "a"]);
        assert_eq!(tensors[2].values::<f64>(), Some([1.0].as_slice()));
        assert!(!tensors[1].is_valid(0));
    }

    #[test]
    fn wants_a_row() {
        assert!(matches!(to_tensors(&[], &[]), Err(Error::Input(InputError::NoRows))));
    }
}
