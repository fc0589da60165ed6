//! `LightGBM`'s text files, versions 2 to 4 (what `Booster.save_model` and the command line write).
//!
//! Written after `src/boosting/gbdt_model_text.cpp`, `src/io/tree.cpp` and `include/LightGBM/tree.h` of `LightGBM`, and
//! compared to the bit with its versions 2.3, 3.3 and 4.7. Thresholds are f64 and tested with `≤`, sums are f64 in the order
//! of the trees. What boosting starts from is in the first trees' leaves, and shrinkage in all; files that were cut to fewer
//! iterations are whole models. A random forest (`average_output`) divides its sums by the number of iterations before the
//! link; `raw_score=True` in `LightGBM` gives the sums themselves.

mod columns;
mod objective;
mod text;
mod tree;

use std::collections::BTreeMap;

use objective::Objective;
use text::{Fields, parts, within};

use super::Format;
use crate::{
    Ensemble, Error, Result,
    ensemble::{Aggregate, CategoryRule, Feature, Origin, Output, Precision, Rules},
};

/// Reads a model.
///
/// Columns are [`Category`](crate::ensemble::ColumnKind::Category) where the model holds categories: by name when the file
/// ends in the categories of pandas and it follows from the file which columns these belong to, by code otherwise.
///
/// # Errors
/// [`Error::Content`] for what is no model or contradicts itself, naming the tree; [`Error::Unsupported`] for unknown
/// objectives, categories from 2^24 on, and categories of pandas that are neither strings nor whole numbers or whose
/// columns do not follow from the file.
pub fn read(bytes: &[u8]) -> Result<Ensemble> {
    let text = std::str::from_utf8(bytes).map_err(|error| Error::content("text in UTF-8", error))?;
    let parts = parts(text)?;
    let header = &parts.header;
    let in_header = within("the header");
    let version = version(header)?;
    let mut columns = columns::columns(header).map_err(&in_header)?;
    let objective = Objective::new(header.get("objective"));
    let width = width(header, parts.trees.len()).map_err(&in_header)?;
    let (link, task) = objective.link(width).map_err(&in_header)?;
    check_sizes(header, &parts.trees).map_err(&in_header)?;

    let mut trees = Vec::with_capacity(parts.trees.len());
    for (index, text) in parts.trees.iter().enumerate() {
        let output = (index % width) as u32;
        let tree =
            tree::tree(&Fields::new(text), columns.len(), output).map_err(within(format_args!("tree {index}")))?;
        trees.push(tree);
    }
    columns::mark(&mut columns, &trees);

    let mut output = Output::sum(width, task);
    output.link = link;
    if header.has("average_output") {
        output.aggregate = Aggregate::Mean(vec![(trees.len() / width) as f64; width]);
    }
    let ensemble = Ensemble {
        features: (0..columns.len() as u32).map(Feature::column).collect(),
        columns: columns::finish(&columns, parts.rest)?,
        rules: Rules { compare: Precision::F64, sum: Precision::F64, category: CategoryRule::Truncate },
        trees,
        output,
        origin: Origin {
            format: Format::Lightgbm.name().to_owned(),
            version,
            objective: objective.name().to_owned(),
            parameters: parameters(parts.rest)?,
        },
    };
    ensemble.check()?;
    Ok(ensemble)
}

/// The format's version, such as `v4`.
fn version(header: &Fields<'_>) -> Result<String> {
    match header.get("version") {
        Some(version @ ("v2" | "v3" | "v4")) => Ok(version.to_owned()),
        other => Err(Error::unsupported(
            format!("version {} of LightGBM's text", other.unwrap_or("1 (which names none)")),
            "load the model in LightGBM 4 and save it anew",
        )),
    }
}

/// Trees per iteration, which are the margins a row.
fn width(header: &Fields<'_>, trees: usize) -> Result<usize> {
    let key = if header.has("num_tree_per_iteration") { "num_tree_per_iteration" } else { "num_class" };
    let width = header.number::<usize>(key)?;
    // A whole number of iterations, and at least one: so the margins are no more than the trees that are there.
    if trees == 0 || trees.checked_rem(width) != Some(0) {
        return Err(Error::content(format!("trees in numbers of {width} (`{key}`)"), trees));
    }
    Ok(width)
}

/// Compares the bytes that the header declares for each tree with those that are there: a file that was cut or edited shows
/// here. `LightGBM` finds the trees by them.
fn check_sizes(header: &Fields<'_>, trees: &[&str]) -> Result<()> {
    if header.get("tree_sizes").is_none() {
        return Ok(());
    }
    let sizes = header.numbers::<usize>("tree_sizes", trees.len())?;
    for (index, (size, text)) in sizes.into_iter().zip(trees).enumerate() {
        // How many empty lines belong to the last tree depends on the version.
        let last = index + 1 == trees.len();
        let least = if last { text.trim_end().len() } else { text.len() };
        if size < least || size > text.len() {
            return Err(Error::content(format!("{size} bytes of tree {index} (`tree_sizes`)"), text.len()));
        }
    }
    Ok(())
}

/// The lines `[key: value]` behind `parameters:`.
fn parameters(rest: &str) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut lines = rest.lines().skip_while(|line| line.trim() != "parameters:");
    if lines.next().is_none() {
        return Ok(parameters);
    }
    for line in lines {
        if line.trim() == "end of parameters" {
            return Ok(parameters);
        }
        let inner = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        if let Some((key, value)) = inner.and_then(|inner| inner.split_once(':')) {
            parameters.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    Err(Error::content("`end of parameters` behind `parameters:`", "the end of the file"))
}
