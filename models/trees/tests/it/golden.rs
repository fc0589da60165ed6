//! Models of other tools with their own answers, as `tests/data/make_*.py` write them.

use std::path::{Path, PathBuf};

use fs_err as fs;
use trees::{
    Ensemble,
    ensemble::{Categories, Column, ColumnKind},
};

/// A row as the model's tool got it, and what that made of it.
pub(crate) struct Case {
    pub(crate) row: Vec<String>,
    pub(crate) raw: Vec<f64>,
    pub(crate) answer: Vec<f64>,
}

/// A file of `tests/data`.
pub(crate) fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

pub(crate) fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path.as_ref()).unwrap()
}

/// Names of the models of a folder, without their ending.
pub(crate) fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(data(folder)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter_map(|name| Some(name.strip_suffix(".golden")?.to_owned())).collect();
    names.sort();
    names
}

/// The cases of a model.
pub(crate) fn cases(path: &str) -> Vec<Case> {
    let text = fs::read_to_string(data(&format!("{path}.golden"))).unwrap();
    let lines: Vec<Vec<&str>> =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect()).collect();
    let numbers = |words: &[&str]| words[1..].iter().map(|word| word.parse().unwrap()).collect();
    let case = |lines: &[Vec<&str>]| {
        assert_eq!([lines[0][0], lines[1][0], lines[2][0]], ["row", "raw", "answer"], "{path}");
        Case {
            row: lines[0][1..].iter().map(|word| word.replace('_', " ")).collect(),
            raw: numbers(&lines[1]),
            answer: numbers(&lines[2]),
        }
    };
    let cases: Vec<Case> = lines.chunks(3).map(case).collect();
    assert!(cases.len() >= 20, "{path}: {} cases", cases.len());
    cases
}

/// A row's values: numbers, and codes of names that the column knows.
pub(crate) fn values(ensemble: &Ensemble, row: &[String]) -> Vec<f64> {
    assert_eq!(row.len(), ensemble.columns.len(), "columns");
    let value = |(column, word): (&Column, &String)| {
        let place = match &column.kind {
            ColumnKind::Category(Categories::Strings(names)) => names.iter().position(|name| name == word),
            ColumnKind::Category(Categories::Integers(names)) => {
                names.iter().position(|name| name.to_string() == *word)
            }
            ColumnKind::Float | ColumnKind::Category(Categories::Codes) => return word.parse().unwrap(),
            other => panic!("{other:?}"),
        };
        place.map_or(f64::NAN, |place| place as f64)
    };
    ensemble.columns.iter().zip(row).map(value).collect()
}

/// The largest relative difference, in units of an f64's precision.
pub(crate) fn ulps(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len(), "numbers a row");
    let difference = |(got, expected): (&f64, &f64)| {
        let same = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan()) || got == expected;
        if same { 0.0 } else { (got - expected).abs() / (expected.abs() * f64::EPSILON) }
    };
    got.iter()
        .zip(expected)
        .map(difference)
        .fold(0.0, |largest, next| if next.is_nan() { f64::INFINITY } else { largest.max(next) })
}

/// Rows of numbers, separated by blanks, tabs or commas, perhaps below a line of names; nothing between two commas is a
/// missing value.
pub(crate) fn table(path: &Path) -> Vec<Vec<f64>> {
    let text = String::from_utf8(bytes(path)).unwrap();
    let cells = |line: &str| -> Vec<String> {
        if line.contains(',') {
            line.split(',').map(|cell| if cell.is_empty() { "nan" } else { cell }.to_owned()).collect()
        } else {
            line.split_ascii_whitespace().map(str::to_owned).collect()
        }
    };
    let row = |cells: Vec<String>| cells.iter().map(|cell| cell.parse()).collect::<Result<Vec<f64>, _>>();
    let mut rows: Vec<_> = text.lines().map(|line| row(cells(line))).collect();
    if rows[0].is_err() {
        drop(rows.remove(0));
    }
    rows.into_iter().map(Result::unwrap).collect()
}
