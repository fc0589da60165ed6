//! Categories: one-hot over the frequent ones, with a bucket for the rare and the unknown.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Encoder of a categorical column.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Record", into = "Record")]
pub(super) struct Categories {
    /// The frequent categories, the most frequent first.
    known: Vec<String>,
    /// Whether training had rare categories: then there is a bucket behind the known ones, for them and for what was never
    /// seen. Without, a bucket would have weights that were never trained.
    rare: bool,
    /// Part of the training rows that each known category has: what an unknown one becomes when there is no bucket.
    parts: Vec<f64>,
    places: HashMap<Box<[u8]>, usize>,
}

/// The saved form of [`Categories`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    known: Vec<String>,
    rare: bool,
    parts: Vec<f64>,
}

impl Categories {
    /// Fits to the categories of the training rows. Those with fewer than `least_rows` rows, and those beyond the `most`
    /// frequent ones, are rare.
    pub(super) fn fit<'a>(values: impl Iterator<Item = &'a [u8]>, least_rows: usize, most: usize) -> Self {
        let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
        let mut rows = 0_usize;
        for value in values {
            *counts.entry(value).or_default() += 1;
            rows += 1;
        }
        let all = counts.len();
        // A category that is not UTF-8 cannot be saved; it stays unknown.
        let mut known: Vec<(&str, usize)> = counts
            .into_iter()
            .filter(|(_, count)| *count >= least_rows)
            .filter_map(|(text, count)| Some((std::str::from_utf8(text).ok()?, count)))
            .collect();
        // Stable: equally frequent ones stay in the order of their text.
        known.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        known.truncate(most);
        let rare = known.len() < all;
        let parts = known.iter().map(|(_, count)| *count as f64 / rows as f64).collect();
        Self::new(known.into_iter().map(|(text, _)| text.to_owned()).collect(), rare, parts)
    }

    fn new(known: Vec<String>, rare: bool, parts: Vec<f64>) -> Self {
        let places = known.iter().enumerate().map(|(place, text)| (text.as_bytes().into(), place)).collect();
        Self { known, rare, parts, places }
    }

    pub(super) const fn width(&self) -> usize {
        self.known.len() + self.rare as usize
    }

    #[inline]
    pub(super) fn encode(&self, category: &[u8], out: &mut [f32]) {
        match self.places.get(category) {
            Some(place) => out[*place] = 1.0,
            None => self.encode_unknown(out),
        }
    }

    pub(super) fn encode_unknown(&self, out: &mut [f32]) {
        if self.rare {
            out[self.known.len()] = 1.0;
        } else {
            for (value, part) in out.iter_mut().zip(&self.parts) {
                *value = *part as f32;
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.places.len() != self.known.len() || self.parts.len() != self.known.len() {
            return Err(format!("expected {} distinct categories with a part each, got others", self.known.len()));
        }
        if !self.parts.iter().all(|part| (0.0..=1.0).contains(part)) {
            return Err("expected parts from 0 to 1, got others".to_owned());
        }
        Ok(())
    }
}

impl PartialEq for Categories {
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known && self.rare == other.rare && self.parts == other.parts
    }
}

impl From<Record> for Categories {
    fn from(record: Record) -> Self {
        let Record { known, rare, parts } = record;
        Self::new(known, rare, parts)
    }
}

impl From<Categories> for Record {
    fn from(categories: Categories) -> Self {
        let Categories { known, rare, parts, places: _ } = categories;
        Self { known, rare, parts }
    }
}
