//! The columns: their names, which of them hold categories, and how pandas named these.

use std::collections::HashSet;

use serde_json::Value;

use super::text::Fields;
use crate::{
    Error, Result,
    ensemble::{Categories, Column, ColumnKind, Node, Test, Tree},
};

/// A column, and the largest category code that the file tells of when it holds categories.
pub(super) struct Known<'a> {
    name: &'a str,
    largest: Option<i64>,
}

/// The header's columns.
pub(super) fn columns<'a>(header: &Fields<'a>) -> Result<Vec<Known<'a>>> {
    let last = header.number::<usize>("max_feature_idx")?;
    let names: Vec<&str> = header.text("feature_names")?.split(' ').collect();
    // As many as the names that are there, so that no memory is taken on the word of a number.
    if last.checked_add(1) != Some(names.len()) {
        return Err(Error::content(format!("one `feature_names` more than {last}"), names.len()));
    }
    let mut columns: Vec<Known<'a>> = names.into_iter().map(|name| Known { name, largest: None }).collect();
    // Files of version 2 and before may leave them out.
    if let Some(infos) = header.get("feature_infos") {
        let infos: Vec<&str> = infos.split_ascii_whitespace().collect();
        if infos.len() != columns.len() {
            return Err(Error::content(format!("{} `feature_infos`", columns.len()), infos.len()));
        }
        for (column, info) in columns.iter_mut().zip(infos) {
            column.largest = largest(info)?;
        }
    }
    Ok(columns)
}

/// The largest code in `a:b:c`; none for numbers, which have `[least:greatest]`, and for what was the same in all rows.
fn largest(info: &str) -> Result<Option<i64>> {
    if info == "none" || info.starts_with('[') {
        return Ok(None);
    }
    let codes = info.split(':').map(str::parse::<i64>).collect::<std::result::Result<Vec<_>, _>>();
    let codes = codes.map_err(|_| {
        let shown: String = info.chars().take(40).collect();
        Error::content("`none`, `[least:greatest]` or `code:code:…` in `feature_infos`", format!("`{shown}`"))
    })?;
    Ok(codes.into_iter().max())
}

/// Counts columns that trees ask for categories among those that hold some.
pub(super) fn mark(columns: &mut [Known<'_>], trees: &[Tree]) {
    for node in trees.iter().flat_map(|tree| &tree.nodes) {
        if let Node::Split(split) = node
            && matches!(split.test, Test::In(_))
            && let Some(column) = columns.get_mut(split.feature as usize)
        {
            column.largest.get_or_insert(-1);
        }
    }
}

/// The columns of the ensemble. `rest` may end in the line that `LightGBM`'s Python package writes for tables of pandas.
pub(super) fn finish(columns: &[Known<'_>], rest: &str) -> Result<Vec<Column>> {
    let kind = |known: &Known<'_>| match known.largest {
        None => ColumnKind::Float,
        Some(_) => ColumnKind::Category(Categories::Codes),
    };
    let mut finished: Vec<Column> =
        columns.iter().map(|known| Column { name: known.name.to_owned(), kind: kind(known) }).collect();
    let lists = pandas(rest)?;
    for (place, categories) in assign(columns, &lists)?.into_iter().zip(lists) {
        if let Some(column) = finished.get_mut(place) {
            column.kind = ColumnKind::Category(categories);
        }
    }
    Ok(finished)
}

/// For each list of categories its column.
///
/// The file does not say which columns of the table were categories of pandas. But the lists are in the columns' order,
/// unordered categories are categorical columns to `LightGBM`, and a column's codes are places in its list. When exactly
/// one assignment is left, it is the one.
fn assign(columns: &[Known<'_>], lists: &[Categories]) -> Result<Vec<usize>> {
    let candidates: Vec<(usize, i64)> =
        columns.iter().enumerate().filter_map(|(place, column)| Some((place, column.largest?))).collect();
    let fits =
        |list: &Categories, largest: i64| usize::try_from(largest).is_ok_and(|code| code < length(list)) || largest < 0;
    // The leftmost assignment and the rightmost one: there is one alone if and only if they are the same.
    let mut ahead = candidates.iter();
    let leftmost: Option<Vec<usize>> =
        lists.iter().map(|list| ahead.find(|(_, largest)| fits(list, *largest)).map(|found| found.0)).collect();
    let mut back = candidates.iter().rev();
    let rightmost: Option<Vec<usize>> =
        lists.iter().rev().map(|list| back.find(|(_, largest)| fits(list, *largest)).map(|found| found.0)).collect();
    let rightmost = rightmost.map(|mut places| {
        places.reverse();
        places
    });
    match (leftmost, rightmost) {
        (Some(leftmost), Some(rightmost)) if leftmost == rightmost => Ok(leftmost),
        (leftmost, _) => {
            let how = if leftmost.is_some() { "more than one way" } else { "no way" };
            Err(Error::unsupported(
                format!(
                    "`pandas_categorical` with {} lists for the {} columns whose `feature_infos` name categories, to \
                     which they go in {how}",
                    lists.len(),
                    candidates.len()
                ),
                "make ordered categories numbers before training, or write `pandas_categorical:null` to serve codes",
            ))
        }
    }
}

fn length(categories: &Categories) -> usize {
    match categories {
        Categories::Codes => 0,
        Categories::Strings(names) => names.len(),
        Categories::Integers(names) => names.len(),
    }
}

/// The lists of categories behind the model; none when there is no such line.
fn pandas(rest: &str) -> Result<Vec<Categories>> {
    const KEY: &str = "pandas_categorical:";
    let Some(line) = rest.lines().rev().find_map(|line| line.strip_prefix(KEY)) else {
        return Ok(Vec::new());
    };
    let lists = serde_json::from_str::<Option<Vec<Vec<Value>>>>(line)
        .map_err(|error| Error::content("a JSON list of lists behind `pandas_categorical:`", error))?;
    lists.unwrap_or_default().into_iter().map(categories).collect()
}

fn categories(values: Vec<Value>) -> Result<Categories> {
    let mut seen = HashSet::new();
    if let Some(twice) = values.iter().find(|value| !seen.insert(value.to_string())) {
        return Err(Error::content("each category once in `pandas_categorical`", format!("{twice} twice")));
    }
    let whole = |value: &Value| match value {
        // As in Python, false and true are 0 and 1.
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    };
    if let Some(names) = values.iter().map(whole).collect() {
        return Ok(Categories::Integers(names));
    }
    let text = |value| if let Value::String(name) = value { Ok(name) } else { Err(value) };
    values.into_iter().map(text).collect::<std::result::Result<_, _>>().map(Categories::Strings).map_err(|other| {
        Error::unsupported(
            format!("the category {other} of `pandas_categorical` beside those of its column"),
            "make the categories all strings or all whole numbers before training",
        )
    })
}
