//! Fitting encoders on the training rows of a table.

use contract::ColumnKind;
use serde::{Deserialize, Serialize};

use super::{ColumnEncoder, Encoders, Encoding, category::Categories, date::Dates, numeric::Numeric};
use crate::{
    Error, Result,
    table::{
        Table,
        cell::{Cell, Unfit},
        data::column_error,
    },
};

/// How numeric columns are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumericEncoding {
    /// Mean 0 and standard deviation 1.
    Standardise,
    /// By quantiles to a normal distribution: outliers and skew do no harm.
    #[default]
    QuantileNormal,
    /// The same, with quantiles of values that were moved by a little noise: a value that many rows share, whose quantiles would
    /// be one, gets its own place among them. What the published figures of tabular nets were reached with.
    NoisyQuantileNormal,
}

/// How columns are encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderOptions {
    /// How numeric columns are encoded.
    pub numeric: NumericEncoding,
    /// Categories with fewer training rows are rare, and are encoded alike.
    pub least_category_rows: usize,
    /// Categories beyond so many most frequent ones are rare.
    pub most_categories: usize,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self { numeric: NumericEncoding::default(), least_category_rows: 4, most_categories: 64 }
    }
}

impl Encoders {
    /// Fits encoders of the feature columns `names` on the training rows `rows`; no other row is looked at.
    ///
    /// # Errors
    /// [`Error::Column`] when a column is not in the table or named twice; [`Error::Setting`] when there is no column, no
    /// row, or a row beyond the table.
    pub fn fit(table: &Table, names: &[impl AsRef<str>], rows: &[usize], options: &EncoderOptions) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::Setting("expected at least one training row, got none".to_owned()));
        }
        if let Some(row) = rows.iter().find(|row| **row >= table.rows()) {
            return Err(Error::Setting(format!("expected training rows below {}, got {row}", table.rows())));
        }
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let name = name.as_ref();
            let index = table.column_index(name)?;
            let encoder = fit_column(table, index, rows, options)
                .map_err(|Unfit| column_error(name, format!("expected a {} column", table.kind(index).name())))?;
            columns.push(encoder);
        }
        Self::from_columns(columns).map_err(Error::Setting)
    }
}

fn fit_column(table: &Table, index: usize, rows: &[usize], options: &EncoderOptions) -> Result<ColumnEncoder, Unfit> {
    let column = table.column(index);
    let (present, encoding) = match table.kind(index) {
        ColumnKind::Numeric => {
            let values = collect(rows, |row| column.cell(row), Cell::number)?;
            (values.len(), Encoding::Numeric(Numeric::fit(&values, options.numeric)))
        }
        ColumnKind::Boolean => {
            let values = collect(rows, |row| column.cell(row), Cell::boolean)?;
            let yes = values.iter().filter(|value| **value).count();
            (values.len(), Encoding::Boolean(yes as f64 / values.len().max(1) as f64))
        }
        ColumnKind::Categorical => {
            let values = collect(rows, |row| column.cell(row), Cell::category)?;
            let categories =
                Categories::fit(values.iter().copied(), options.least_category_rows, options.most_categories);
            (values.len(), Encoding::Categorical(categories))
        }
        ColumnKind::Date => {
            let day_first = table.day_first(index);
            let values = collect(rows, |row| column.cell(row), |cell| cell.time(day_first))?;
            (values.len(), Encoding::Date(Dates::fit(&values, day_first)))
        }
    };
    let name = table.columns()[index].name.clone();
    Ok(ColumnEncoder { name, missing_indicator: present < rows.len(), encoding })
}

/// The present values of `rows`.
fn collect<'a, T>(
    rows: &[usize],
    cell: impl Fn(usize) -> Cell<'a>,
    read: impl Fn(Cell<'a>) -> Result<Option<T>, Unfit>,
) -> Result<Vec<T>, Unfit> {
    rows.iter().filter_map(|row| read(cell(*row)).transpose()).collect()
}
