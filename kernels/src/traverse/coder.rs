//! How a row's features become bytes.

use std::collections::HashMap;

use super::BYTES;
use crate::{
    Error, Result,
    bin::{MAGNITUDE, order_key},
};

/// Thresholds that one byte can tell apart.
const CUTS: usize = 255;
/// Codes a row may have: what a node has bits for.
const CODES: usize = 1 << 20;
/// Words that describe a code to a kernel: its feature, where its data begins, how long that is, and flags.
pub(crate) const RECORD: usize = 4;
/// Flag: numbers near zero count as missing. The byte of what is missing lies below.
pub(crate) const ZERO_IS_MISSING: u32 = 1 << 8;
/// Where the flags tell the kind of test.
pub(crate) const KIND: u32 = 9;
/// Where the flags tell how a number becomes a category.
pub(crate) const RULE: u32 = 11;
/// Kind: thresholds.
pub(crate) const CUTS_KIND: u32 = 0;
/// Kind: equality.
pub(crate) const EQUAL_KIND: u32 = 1;
/// Kind: a set of categories.
pub(crate) const SET_KIND: u32 = 2;

/// Numbers of at most this magnitude are zero to [`Missing::ZeroLeft`] and [`Missing::ZeroRight`]: `LightGBM`'s `kZeroThreshold`.
pub const NEAR_ZERO: f32 = 1e-35;
/// Categories are below this: beyond, an `f32` cannot tell neighbours apart. Its bit pattern as a float.
pub(crate) const CATEGORIES: u32 = 0x4b80_0000;

/// One byte of a coded row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Code<'a> {
    /// The feature that it codes.
    pub feature: usize,
    /// What NaN does.
    pub missing: Missing,
    /// What the byte says.
    pub test: Test<'a>,
}

/// What a byte says of a value x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test<'a> {
    /// How many of up to 255 ascending thresholds lie below x. So `byte ≤ i` says that `x ≤ thresholds[i]`.
    Cuts(&'a [f32]),
    /// 0 when x is this number, else 1.
    Equal(f32),
    /// 0 when x's category is in this set, else 1: category `c` is when bit `c % 32` of word `c / 32` is set.
    In(&'a [u32]),
}

/// What NaN does at a split, and whether zero counts as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// NaN goes left.
    Left,
    /// NaN goes right.
    Right,
    /// NaN is read as 0, and so tested.
    AsZero,
    /// NaN, and numbers within [`NEAR_ZERO`] of 0, go left.
    ZeroLeft,
    /// NaN, and numbers within [`NEAR_ZERO`] of 0, go right.
    ZeroRight,
}

/// How a number becomes a category; none, which no set holds, from 2^24 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CategoryRule {
    /// Its whole part; none when that is below zero.
    Truncate,
    /// Its whole part; none when the number is below zero.
    TruncateNonNegative,
    /// Itself; none when it is below zero or has a fraction.
    Exact,
}

impl CategoryRule {
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Truncate => 0,
            Self::TruncateNonNegative => 1,
            Self::Exact => 2,
        }
    }
}

/// All codes of a row, checked and laid out for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Coder {
    features: usize,
    /// [`RECORD`] words a code.
    pub(crate) records: Vec<u32>,
    /// Keys of thresholds and words of sets.
    pub(crate) data: Vec<u32>,
}

impl Coder {
    /// Codes for rows of `features` numbers.
    ///
    /// # Errors
    /// No feature at all, more than 2^20 codes, more than 2^31 words of thresholds and sets, or a code of a feature that does not exist, of more than 255 thresholds, or of
    /// thresholds that do not ascend.
    pub fn new(features: usize, rule: CategoryRule, codes: &[Code<'_>]) -> Result<Self> {
        if features == 0 {
            return Err(Error::NoFeatures);
        }
        if codes.len() > CODES {
            return Err(Error::TooManyCodes { limit: CODES, got: codes.len() });
        }
        let mut coder = Self { features, records: Vec::with_capacity(codes.len() * RECORD), data: Vec::new() };
        let mut sets = HashMap::new();
        for (place, code) in codes.iter().enumerate() {
            coder.add(rule, *code, &mut sets).map_err(|(expected, got)| Error::Code { code: place, expected, got })?;
            if coder.data.len() > MAGNITUDE as usize {
                return Err(Error::TooManyCutPoints { limit: MAGNITUDE as usize, got: coder.data.len() });
            }
        }
        Ok(coder)
    }

    /// Adds a code. A set that many codes ask for, the same words in memory, is held once: `sets` knows where.
    fn add(
        &mut self,
        rule: CategoryRule,
        code: Code<'_>,
        sets: &mut HashMap<*const [u32], usize>,
    ) -> Result<(), (String, String)> {
        let Code { feature, missing, test } = code;
        if feature >= self.features {
            return Err((format!("a feature below {}", self.features), feature.to_string()));
        }
        let mut start = self.data.len();
        let (kind, length, right) = match test {
            Test::Cuts(cuts) => {
                if cuts.len() > CUTS {
                    return Err((format!("at most {CUTS} thresholds"), cuts.len().to_string()));
                }
                if cuts.iter().any(|cut| cut.is_nan()) {
                    return Err(("numbers as thresholds".to_owned(), "NaN".to_owned()));
                }
                self.data.extend(cuts.iter().map(|cut| order_key(*cut)));
                if let Some(pair) = self.data[start..].windows(2).position(|pair| pair[0] > pair[1]) {
                    let got = format!("{} after {}", cuts[pair + 1], cuts[pair]);
                    return Err(("ascending thresholds".to_owned(), got));
                }
                (CUTS_KIND, cuts.len(), cuts.len() as u32)
            }
            Test::Equal(value) => {
                if value.is_nan() {
                    return Err(("a number to be equal to".to_owned(), "NaN".to_owned()));
                }
                self.data.push(order_key(value));
                (EQUAL_KIND, 1, 1)
            }
            Test::In(words) => {
                start = *sets.entry(std::ptr::from_ref(words)).or_insert_with(|| {
                    self.data.extend_from_slice(words);
                    start
                });
                (SET_KIND, words.len(), 1)
            }
        };
        let zeros = matches!(missing, Missing::ZeroLeft | Missing::ZeroRight);
        let flags = if zeros { ZERO_IS_MISSING } else { 0 } | kind << KIND | rule.number() << RULE;
        let mut record = [feature as u32, start as u32, length as u32, flags];
        record[3] |= match missing {
            Missing::Left | Missing::ZeroLeft => 0,
            Missing::Right | Missing::ZeroRight => right,
            Missing::AsZero => super::cpu::byte(0, record, &self.data),
        };
        self.records.extend(record);
        Ok(())
    }

    /// Numbers a row.
    #[must_use]
    pub const fn features(&self) -> usize {
        self.features
    }

    /// Bytes a coded row.
    #[must_use]
    pub fn codes(&self) -> usize {
        self.records.len() / RECORD
    }

    /// Words a coded row: four bytes each, the first in the lowest bits; at least one.
    #[must_use]
    pub fn words(&self) -> usize {
        words(self.codes())
    }

    /// How many rows `values` numbers are.
    pub(super) fn rows(&self, values: usize) -> Result<usize> {
        if values.is_multiple_of(self.features) {
            Ok(values / self.features)
        } else {
            Err(Error::Rows { features: self.features, got: values })
        }
    }
}

/// Words that hold `codes` bytes; at least one.
pub(super) fn words(codes: usize) -> usize {
    codes.div_ceil(BYTES).max(1)
}
