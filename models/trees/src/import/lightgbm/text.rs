//! The text of a model: a header, trees, and what stands behind them, each of lines `key=value`.

use std::{collections::HashMap, fmt::Display, str::FromStr};

use crate::{Error, Result};

/// Lines `key=value` of one part of the file.
pub(super) struct Fields<'a>(HashMap<&'a str, &'a str>);

/// The parts of a file.
pub(super) struct Parts<'a> {
    pub(super) header: Fields<'a>,
    /// Each from `Tree=` on, with what is empty behind it.
    pub(super) trees: Vec<&'a str>,
    /// From the line that ends the trees on: importances, parameters, pandas' categories.
    pub(super) rest: &'a str,
}

/// What a line behind the trees begins with. `end of trees` came with version 3.
const BEHIND: [&str; 5] =
    ["end of trees", "feature importances:", "feature_importances:", "parameters:", "pandas_categorical:"];

/// Takes the file apart.
pub(super) fn parts(text: &str) -> Result<Parts<'_>> {
    let first = text.lines().next().unwrap_or_default();
    if first.trim() != "tree" {
        let shown: String = first.chars().take(40).collect();
        return Err(Error::content("a model of LightGBM, whose first line is `tree`", format!("`{shown}`")));
    }
    let mut starts = Vec::new();
    let mut end = text.len();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("Tree=") {
            starts.push(at);
        } else if BEHIND.iter().any(|behind| line.starts_with(behind)) {
            end = at;
            break;
        }
        at += line.len();
    }
    let cut = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let header = cut(0, starts.first().copied().unwrap_or(end));
    let ends = starts.iter().skip(1).copied().chain([end]);
    let trees = starts.iter().zip(ends).map(|(start, end)| cut(*start, end));
    Ok(Parts { header: Fields::new(header), trees: trees.collect(), rest: cut(end, text.len()) })
}

impl<'a> Fields<'a> {
    /// The lines of a part.
    pub(super) fn new(text: &'a str) -> Self {
        let pair = |line: &'a str| {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            (key.trim(), value.trim())
        };
        Self(text.lines().map(pair).collect())
    }

    /// Whether the key stands there, with or without a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// A value that is there and not empty.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied().filter(|value| !value.is_empty())
    }

    /// A value that has to be there.
    pub(super) fn text(&self, key: &str) -> Result<&'a str> {
        self.get(key).ok_or_else(|| Error::content(format!("`{key}`"), "none"))
    }

    /// A number that has to be there.
    pub(super) fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        number(key, self.text(key)?)
    }

    /// So many numbers, which have to be there unless `count` is 0.
    pub(super) fn numbers<T: FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>> {
        let numbers = self.all(key)?;
        if numbers.len() == count {
            Ok(numbers)
        } else {
            Err(Error::content(format!("{count} numbers as `{key}`"), numbers.len()))
        }
    }

    /// All numbers that are there. Memory is proportional to them.
    pub(super) fn all<T: FromStr>(&self, key: &str) -> Result<Vec<T>> {
        self.get(key).unwrap_or_default().split_ascii_whitespace().map(|word| number(key, word)).collect()
    }
}

fn number<T: FromStr>(key: &str, word: &str) -> Result<T> {
    word.parse().map_err(|_| {
        let shown: String = word.chars().take(40).collect();
        Error::content(format!("a number as `{key}`"), format!("`{shown}`"))
    })
}

/// The error with the place it was found at.
pub(super) fn within(place: impl Display) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Content { expected, got } => Error::content(format!("in {place}, {expected}"), got),
        Error::Unsupported { what, instead } => Error::unsupported(format!("{what} (in {place})"), instead),
    }
}
