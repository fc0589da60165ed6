//! The tables, their splits, and what is measured on them.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Column that says which part a row is in.
pub(super) const SPLIT: &str = "part";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Regression,
    Classes,
}

pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) target: &'static str,
    pub(super) task: Task,
    header: &'static str,
    read: fn(&Path) -> Result<Rows>,
}

/// Lines of values in the header's order, and how many of them, the last ones, are only tested on; none when that is drawn.
struct Rows {
    lines: Vec<String>,
    test: Option<usize>,
}

/// A split on disk.
pub(super) struct Files {
    /// Training and validation rows, told apart by [`SPLIT`].
    pub(super) training: PathBuf,
    pub(super) test: PathBuf,
}

pub(super) fn all() -> [Table; 2] {
    [
        Table {
            name: "california",
            target: "value",
            task: Task::Regression,
            header: "income,age,rooms,bedrooms,population,occupancy,latitude,longitude,value",
            read: california,
        },
        Table {
            name: "adult",
            target: "income",
            task: Task::Classes,
            header: "age,workclass,weight,education,education_years,marital_status,occupation,relationship,race,sex,gain,loss,\
                     hours,country,income",
            read: adult,
        },
    ]
}

/// The 20,640 blocks of `StatLib`'s file, with the eight features of scikit-learn.
fn california(folder: &Path) -> Result<Rows> {
    let text = fs_err::read_to_string(folder.join("cal_housing_statlib.data"))?;
    let line = |line: &str| -> Result<String> {
        let values = line.split(',').map(|value| value.trim().parse::<f64>()).collect::<Result<Vec<_>, _>>()?;
        let [longitude, latitude, age, rooms, bedrooms, population, households, income, value] = values[..] else {
            anyhow::bail!("expected nine values a line, got {}", values.len());
        };
        let (rooms, bedrooms, occupancy) = (rooms / households, bedrooms / households, population / households);
        let value = value / 100_000.0;
        Ok(format!("{income},{age},{rooms},{bedrooms},{population},{occupancy},{latitude},{longitude},{value}"))
    };
    let lines = text.lines().filter(|text| !text.is_empty()).map(line).collect::<Result<_>>()?;
    Ok(Rows { lines, test: None })
}

/// The official split of the census of 1994.
fn adult(folder: &Path) -> Result<Rows> {
    let read = |name: &str| -> Result<Vec<String>> {
        let text = fs_err::read_to_string(folder.join(name))?;
        let lines = text.lines().filter(|line| line.matches(',').count() == 14);
        let clean = |line: &str| {
            let values = line.split(',').map(|value| value.trim().trim_end_matches('.'));
            values.map(|value| if value == "?" { "" } else { value }).collect::<Vec<_>>().join(",")
        };
        Ok(lines.map(clean).collect())
    };
    let (mut lines, test) = (read("adult.data")?, read("adult.test")?);
    let count = test.len();
    lines.extend(test);
    Ok(Rows { lines, test: Some(count) })
}

impl Table {
    /// Writes split `split`: 64 % to train on, 16 % to stop by, 20 % (or the official part) to test on.
    pub(super) fn write(&self, data: &Path, split: u64, folder: &Path) -> Result<Files> {
        let Rows { mut lines, test } = (self.read)(data)?;
        ensure!(lines.len() > 100, "expected a table, got {} rows", lines.len());
        let mut random = ChaCha8Rng::seed_from_u64(split);
        let test = if let Some(count) = test {
            lines.split_off(lines.len() - count)
        } else {
            lines.shuffle(&mut random);
            lines.split_off(lines.len() - lines.len() / 5)
        };
        lines.shuffle(&mut random);
        let valid = lines.len() / 5;
        let path = |part: &str| folder.join(format!("{}-{split}-{part}.csv", self.name));
        let files = Files { training: path("training"), test: path("test") };
        let mut text = format!("{},{SPLIT}\n", self.header);
        for (place, line) in lines.iter().enumerate() {
            writeln!(text, "{line},{}", if place < valid { "valid" } else { "train" })?;
        }
        fs_err::write(&files.training, text)?;
        fs_err::write(&files.test, format!("{}\n{}\n", self.header, test.join("\n")))?;
        Ok(files)
    }
}

impl Task {
    /// RMSE or accuracy of the answers beside column `target` of the table that `emberline predict` writes.
    pub(super) fn score(self, answers: &str, target: &str) -> Result<f64> {
        let mut lines = answers.lines();
        let header: Vec<&str> = lines.next().context("expected a header, got an empty file")?.split(',').collect();
        let place =
            |name: &str| header.iter().position(|column| *column == name).with_context(|| format!("no '{name}'"));
        let (truth, answer) = match self {
            Self::Regression => (place(target)?, place("prediction")?),
            Self::Classes => (place(target)?, place("label")?),
        };
        let (mut count, mut sum) = (0.0, 0.0);
        for line in lines {
            let values: Vec<&str> = line.split(',').collect();
            let (truth, answer) = (values[truth], values[answer]);
            count += 1.0;
            sum += match self {
                Self::Regression => (truth.parse::<f64>()? - answer.parse::<f64>()?).powi(2),
                Self::Classes => f64::from(u8::from(truth == answer)),
            };
        }
        ensure!(count > 0.0, "expected answers, got none");
        Ok(match self {
            Self::Regression => (sum / count).sqrt(),
            Self::Classes => sum / count,
        })
    }
}
