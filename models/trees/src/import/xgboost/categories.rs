//! Columns: their names, their types, and the names of categories (`src/data/cat_container.cc` of XGBoost).

use super::schema::{Cats, Names};
use crate::{
    Error, Result,
    ensemble::{Categories, Column, ColumnKind},
};

/// Before this version, XGBoost's Python package counted a category's characters where bytes are meant
/// (its pull request 12371): names beyond ASCII shift all that follow, and the last bytes are lost.
const COUNTS_BYTES: [u32; 2] = [3, 5];

/// The columns of a model of as many features as `asked_by_category` has entries.
pub(super) fn columns(
    version: &[u32],
    names: Vec<String>,
    types: &[String],
    cats: Option<&Cats>,
    asked_by_category: &[bool],
) -> Result<Vec<Column>> {
    let count = asked_by_category.len();
    let enc = cats.map_or(&[][..], |cats| &cats.enc);
    for (field, got) in [("feature_names", names.len()), ("feature_types", types.len()), ("cats.enc", enc.len())] {
        if got != 0 && got != count {
            return Err(Error::content(format!("{count} features in `{field}`, as in `num_feature`"), got));
        }
    }
    let names = if names.is_empty() { (0..count).map(|index| format!("f{index}")).collect() } else { names };
    let mut columns = Vec::with_capacity(count);
    for (index, (name, by_category)) in names.into_iter().zip(asked_by_category).enumerate() {
        let in_column = |error: Error| match error {
            Error::Content { expected, got } => Error::content(format!("for feature {index}, {expected}"), got),
            unsupported @ Error::Unsupported { what: _, instead: _ } => unsupported,
        };
        let named = enc.get(index).map(|names| categories(names, version)).transpose().map_err(in_column)?.flatten();
        let kind = kind(types.get(index).map(String::as_str), named, *by_category).map_err(in_column)?;
        columns.push(Column { name, kind });
    }
    Ok(columns)
}

fn kind(name: Option<&str>, categories: Option<Categories>, by_category: bool) -> Result<ColumnKind> {
    match (name, categories) {
        (_, Some(categories)) => Ok(ColumnKind::Category(categories)),
        (Some("c"), None) => Ok(ColumnKind::Category(Categories::Codes)),
        (None, None) if by_category => Ok(ColumnKind::Category(Categories::Codes)),
        (Some("int"), None) => Ok(ColumnKind::Integer),
        (Some("i"), None) => Ok(ColumnKind::Boolean),
        (Some("float" | "q") | None, None) => Ok(ColumnKind::Float),
        (Some(other), None) => Err(Error::content("`int`, `float`, `i`, `q` or `c` in `feature_types`", other)),
    }
}

/// A feature's categories by name, if it has some.
fn categories(names: &Names, version: &[u32]) -> Result<Option<Categories>> {
    let Names { offsets, values } = names;
    let Some(offsets) = offsets else {
        return Ok((!values.is_empty()).then(|| Categories::Integers(values.clone())));
    };
    // The C++ side holds bytes, and writes them signed.
    let byte = |value: &i64| {
        let signed = i8::try_from(*value).map(i8::cast_unsigned);
        signed.or_else(|_| u8::try_from(*value)).map_err(|_| Error::content("bytes in `values` of `cats.enc`", value))
    };
    let bytes = values.iter().map(byte).collect::<Result<Vec<_>>>()?;
    if !bytes.is_ascii() && version < COUNTS_BYTES.as_slice() {
        return Err(Error::unsupported(
            "category names beyond ASCII, which XGBoost before 3.5 cuts in the wrong places,",
            "rename the categories, or hand over their codes, before training; or train with XGBoost 3.5",
        ));
    }
    let string = |ends: &[i32]| {
        let [begin, end] = ends else { return Err(Error::content("offsets in pairs", ends.len())) };
        let range = usize::try_from(*begin).ok().zip(usize::try_from(*end).ok());
        let bytes = range.and_then(|(begin, end)| bytes.get(begin..end)).ok_or_else(|| {
            Error::content(format!("`offsets` up to {} in `cats.enc`", bytes.len()), format!("{begin}..{end}"))
        })?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::content("categories in UTF-8", "other bytes"))
    };
    // Strings follow each other, so that together they are as long as the bytes.
    if let Some(place) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(Error::content("ascending `offsets` in `cats.enc`", format!("less after string {place}")));
    }
    let strings = offsets.windows(2).map(string).collect::<Result<Vec<_>>>()?;
    Ok((!strings.is_empty()).then_some(Categories::Strings(strings)))
}
