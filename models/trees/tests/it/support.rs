//! Golden data.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// A path in the data that lies beside the clone, if there is any; says that it is not there otherwise.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if found.exists() {
        Some(found)
    } else {
        eprintln!("skipped: {} is not there", found.display());
        None
    }
}

/// Rows of numbers, separated by commas or blanks; a first line that holds none is passed over.
pub(crate) fn numbers(path: &Path) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let cells = line.split([',', ' ']).filter(|cell| !cell.is_empty());
        cells.map(str::parse).collect::<Result<Vec<f64>, _>>().ok()
    };
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| row(line).or_else(|| (index > 0).then(|| panic!("{line}"))))
        .collect()
}

/// The largest difference between numbers of the same place; NaN differs from all but NaN.
pub(crate) fn largest_difference(got: &[Vec<f64>], expected: &[Vec<f64>]) -> f64 {
    assert_eq!(got.len(), expected.len(), "rows");
    let mut largest = 0.0_f64;
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(got.len(), expected.len(), "numbers a row");
        for (got, expected) in got.iter().zip(expected) {
            let same = got == expected || (got.is_nan() && expected.is_nan());
            let difference = if same { 0.0 } else { (got - expected).abs() };
            largest = if difference.is_nan() { f64::INFINITY } else { largest.max(difference) };
        }
    }
    largest
}
