//! The demo's table: the red wines of the UCI Wine Quality data (Cortez et al., 2009), as the `linfa-datasets` crate
//! carries them.

use std::path::Path;

use anyhow::{Context, Result};

/// What the demo predicts.
pub(super) const TARGET: &str = "quality";
/// Every fifth row is kept from training: it is the traffic of the demo, so that the online loss is that of rows the
/// models have not seen.
const LIVE_EVERY: usize = 5;

/// A table in memory.
pub(super) struct Wines {
    /// Feature names.
    pub(super) features: Vec<String>,
    /// Feature values and quality of each wine.
    pub(super) rows: Vec<Wine>,
}

/// One wine.
pub(super) struct Wine {
    /// Its name as an entity of the feature store.
    pub(super) id: String,
    /// Chemical measurements, one per feature.
    pub(super) values: Vec<f64>,
    /// What tasters said, 3 to 8.
    pub(super) quality: f64,
    /// Kept from training.
    pub(super) live: bool,
}

/// Reads the table out of the crate.
pub(super) fn wines() -> Wines {
    let data = linfa_datasets::winequality();
    let rows = data.records().outer_iter().zip(data.targets().iter()).enumerate();
    let rows = rows.map(|(index, (values, quality))| Wine {
        id: format!("wine-{index}"),
        values: values.to_vec(),
        quality: *quality as f64,
        live: index % LIVE_EVERY == LIVE_EVERY - 1,
    });
    Wines { features: data.feature_names().iter().map(|name| name.replace(' ', "_")).collect(), rows: rows.collect() }
}

impl Wines {
    /// The rows that training never sees.
    pub(super) fn live(&self) -> impl Iterator<Item = &Wine> {
        self.rows.iter().filter(|wine| wine.live)
    }

    /// Writes the rows to train on as CSV.
    pub(super) fn write_training_rows(&self, path: &Path) -> Result<()> {
        let mut text = format!("{},{TARGET}\n", self.features.join(","));
        for wine in self.rows.iter().filter(|wine| !wine.live) {
            for value in &wine.values {
                text += &format!("{value},");
            }
            text += &format!("{}\n", wine.quality);
        }
        fs_err::write(path, text).context("cannot write the demo's table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_carries_the_whole_table() {
        let wines = wines();
        assert_eq!((wines.rows.len(), wines.features.len()), (1599, 11));
        assert_eq!(wines.live().count(), 319);
        // First line of the published file: 7.4;0.7;0;1.9;0.076;11;34;0.9978;3.51;0.56;9.4;5
        assert_eq!(wines.rows[0].values, [7.4, 0.7, 0.0, 1.9, 0.076, 11.0, 34.0, 0.9978, 3.51, 0.56, 9.4]);
        assert_eq!(wines.rows[0].quality, 5.0);
    }
}
