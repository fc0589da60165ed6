//! Values as bytes: what splits compare.
//!
//! A split only ever asks on which side of its threshold a value lies, and a model has finitely many thresholds a feature.
//! So each row is turned into small integers once (how many of the feature's thresholds lie below the value), and all trees
//! then compare bytes. This is exact: it is no approximation by bins of our choosing.
//!
//! What NaN does is a property of the split, not of the feature. It is settled here as well: a feature whose splits treat
//! NaN differently becomes several codes, one for each treatment, in which NaN has the byte that goes the right way. A feature
//! with more than 255 thresholds becomes several codes too, each of which sees 255 of them. A test for a category (or for
//! equality) becomes a code of its own: 0 where it holds and 1 where it does not. So in the end there is one question:
//! **left when `byte[code] ≤ cut`**.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

#[cfg(target_arch = "x86_64")]
use super::search::{KEYS, Levels};
use super::{
    plain::{PlainCode, PlainTest},
    search::{Float, Machine, Search},
    value::Value,
};
use crate::{
    Ensemble,
    ensemble::{CategorySet, Missing, Node, Precision, Rules, Split, Test, ZERO},
};

/// Thresholds that one byte can tell apart.
pub(super) const CUTS: usize = 255;

/// A split after coding: left when `byte[code] ≤ cut`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Place of the byte in the row.
    pub code: u16,
    /// The greatest byte that goes left.
    pub cut: u8,
}

/// How a row's features become bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes {
    pub(super) ranks: Vec<Rank>,
    /// By rank, what turns one value into its codes. For f32 values, each cut is rounded down to an f32, so that `x > cut` says the
    /// same.
    narrow: Vec<Coder<f32>>,
    wide: Vec<Coder<f64>>,
    tests: Vec<Membership>,
    /// By [`KEYS`] features, whether one of them has a rank.
    #[cfg(target_arch = "x86_64")]
    pub(super) strips: Vec<bool>,
    /// Bytes a row.
    count: usize,
}

/// The thresholds of a feature, for splits that treat missing values alike.
#[derive(Clone, Debug)]
pub(super) struct Rank {
    pub(super) feature: usize,
    missing: Missing,
    /// Ascending and distinct: a value's rank is the number of them below it.
    cuts: Vec<f64>,
    /// For many f32 values at once.
    #[cfg(target_arch = "x86_64")]
    pub(super) levels: Levels,
    /// The first of its codes.
    pub(super) first: usize,
}

/// What is read of a [`Rank`] for one row, and no more: a row that comes alone finds little of it in the cache.
#[derive(Clone, Debug)]
struct Coder<T> {
    feature: u32,
    first: u32,
    codes: u32,
    search: Search<T>,
}

impl<T: Float> Coder<T> {
    const fn new((feature, first, codes): (u32, u32, u32), search: Search<T>) -> Self {
        Self { feature, first, codes, search }
    }

    /// Code `c` goes to `out[c * stride]`.
    #[inline(always)]
    fn code(&self, machine: impl Machine, value: T, stride: usize, out: &mut [u8]) {
        let (number, first) = (self.search.rank(machine, value), self.first as usize);
        if self.codes == 1 {
            out[first * stride] = number as u8;
            return;
        }
        for chunk in 0..self.codes as usize {
            out[(first + chunk) * stride] = number.saturating_sub(chunk * CUTS).min(CUTS) as u8;
        }
    }
}

/// A test that is not an order: 0 where it holds, else 1.
#[derive(Clone, Debug)]
struct Membership {
    feature: usize,
    missing: Missing,
    member: Member,
}

#[derive(Clone, Debug)]
enum Member {
    Equal(f64),
    /// Shared: many features may ask for one large set.
    In(Arc<CategorySet>),
}

/// f64 in its total order, for keys.
#[derive(Clone, Copy, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    /// -0 comes before +0 here. Nothing lies between them, so two cuts for one do no harm.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Which questions an ensemble asks, collected before they get numbers.
#[derive(Default)]
struct Asked {
    cuts: BTreeMap<(u32, u8), BTreeSet<Ordered>>,
    tests: BTreeMap<(u32, u8, TestKey), usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TestKey {
    Equal(Ordered),
    /// The set of this number in [`Sets`].
    In(usize),
}

/// The category sets of all trees, each once: a set may be large and asked for by many splits, which then compare numbers.
struct Sets {
    all: Vec<Arc<CategorySet>>,
    /// By tree, the numbers of its sets.
    of_trees: Vec<Vec<usize>>,
}

impl Sets {
    /// The set that no code is in.
    const EMPTY: usize = 0;

    fn new(ensemble: &Ensemble) -> Self {
        let empty = CategorySet::default();
        let mut all = vec![&empty];
        let mut known: HashMap<&CategorySet, usize> = HashMap::from([(&empty, Self::EMPTY)]);
        let mut number = |set| {
            *known.entry(set).or_insert_with(|| {
                all.push(set);
                all.len() - 1
            })
        };
        let of_trees = ensemble.trees.iter().map(|tree| tree.sets.iter().map(&mut number).collect()).collect();
        Self { all: all.into_iter().map(|set| Arc::new(set.clone())).collect(), of_trees }
    }
}

impl Codes {
    /// The codes of an ensemble and the question of each split, by tree and then by its place among the tree's splits in
    /// pre-order; none when there are more than 2^16 codes.
    pub(super) fn new(ensemble: &Ensemble) -> Option<(Self, Vec<Vec<Question>>)> {
        let rules = ensemble.rules;
        let splits = |tree: &crate::ensemble::Tree| -> Vec<Split> {
            let split = |node: &Node| match node {
                Node::Split(split) => Some(*split),
                Node::Leaf(_) => None,
            };
            tree.nodes.iter().filter_map(split).collect()
        };
        let sets = Sets::new(ensemble);
        let mut asked = Asked::default();
        for (tree, sets) in ensemble.trees.iter().zip(&sets.of_trees) {
            for split in splits(tree) {
                asked.add(&split, sets, rules.compare);
            }
        }
        let codes = Self::numbered(&mut asked, &sets, rules.compare);
        if codes.count > usize::from(u16::MAX) {
            return None;
        }
        let firsts: BTreeMap<(u32, u8), &Rank> =
            codes.ranks.iter().map(|rank| ((rank.feature as u32, rank.missing as u8), rank)).collect();
        let first_test = codes.count - codes.tests.len();
        let question = |split: &Split, sets: &[usize]| {
            let place = (split.feature, split.missing as u8);
            if let Some(cut) = inclusive(split.test, rules.compare) {
                let rank = firsts.get(&place)?;
                let index = rank.cuts.binary_search_by(|other| other.total_cmp(&cut)).ok()?;
                let code = u16::try_from(rank.first + index / CUTS).ok()?;
                return Some(Question { code, cut: (index % CUTS) as u8 });
            }
            let key = (place.0, place.1, key(split.test, sets)?);
            let code = u16::try_from(first_test + asked.tests.get(&key)?).ok()?;
            Some(Question { code, cut: 0 })
        };
        let questions = ensemble.trees.iter().zip(&sets.of_trees).map(|(tree, sets)| {
            splits(tree).iter().map(|split| question(split, sets)).collect::<Option<Vec<Question>>>()
        });
        let questions = questions.collect::<Option<Vec<_>>>()?;
        Some((codes, questions))
    }

    fn numbered(asked: &mut Asked, sets: &Sets, precision: Precision) -> Self {
        let mut codes = Self::default();
        for ((feature, missing), cuts) in &asked.cuts {
            let cuts: Vec<f64> = cuts.iter().map(|cut| cut.0).collect();
            let missing = MISSING[usize::from(*missing)];
            let floors: Vec<f32> = cuts.iter().map(|cut| floor(*cut)).collect();
            let narrow = Search::new(&floors, missing);
            #[cfg(target_arch = "x86_64")]
            let levels = Levels::new(&floors, &narrow);
            let (first, chunks) = (codes.count, cuts.len().div_ceil(CUTS));
            let place = (*feature, first as u32, chunks as u32);
            codes.narrow.push(Coder::new(place, narrow));
            if precision == Precision::F64 {
                codes.wide.push(Coder::new(place, Search::new(&cuts, missing)));
            }
            codes.ranks.push(Rank {
                feature: *feature as usize,
                missing,
                #[cfg(target_arch = "x86_64")]
                levels,
                cuts,
                first,
            });
            codes.count += chunks;
        }
        for (place, ((feature, missing, key), number)) in asked.tests.iter_mut().enumerate() {
            *number = place;
            let member = match key {
                TestKey::Equal(value) => Member::Equal(value.0),
                TestKey::In(set) => Member::In(Arc::clone(&sets.all[*set])),
            };
            let (feature, missing) = (*feature as usize, MISSING[usize::from(*missing)]);
            codes.tests.push(Membership { feature, missing, member });
        }
        codes.count += codes.tests.len();
        #[cfg(target_arch = "x86_64")]
        codes.mark_strips();
        codes
    }

    /// Says which strips have ranks.
    #[cfg(target_arch = "x86_64")]
    fn mark_strips(&mut self) {
        let strips = self.ranks.iter().map(|rank| rank.feature / KEYS);
        self.strips = vec![false; strips.clone().max().map_or(0, |last| last + 1)];
        strips.for_each(|strip| self.strips[strip] = true);
    }

    /// Gives back what only blocks of rows in vectors need.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn without_levels(&mut self) {
        self.ranks.iter_mut().for_each(|rank| rank.levels = Levels::default());
    }

    /// Each feature's thresholds.
    pub(super) fn thresholds(&self) -> Vec<(usize, Vec<f64>)> {
        self.ranks.iter().map(|rank| (rank.feature, rank.cuts.clone())).collect()
    }

    /// What each byte says of an f32.
    pub(super) fn plain(&self) -> Vec<PlainCode> {
        let mut codes = Vec::with_capacity(self.count);
        for rank in &self.ranks {
            for cuts in rank.cuts.chunks(CUTS) {
                let test = PlainTest::Cuts(cuts.iter().map(|cut| floor(*cut)).collect());
                codes.push(PlainCode { feature: rank.feature, missing: rank.missing, test });
            }
        }
        for Membership { feature, missing, member } in &self.tests {
            let test = match member {
                Member::Equal(value) if f64::from(*value as f32) == *value => PlainTest::Equal(*value as f32),
                // No f32 is equal to it.
                Member::Equal(_) => PlainTest::In(Arc::default()),
                Member::In(set) => PlainTest::In(Arc::clone(set)),
            };
            codes.push(PlainCode { feature: *feature, missing: *missing, test });
        }
        codes
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let cuts = self.ranks.iter().map(|rank| size_of_val(rank.cuts.as_slice())).sum::<usize>();
        #[cfg(target_arch = "x86_64")]
        let cuts = cuts + self.ranks.iter().map(|rank| rank.levels.bytes()).sum::<usize>();
        let narrow = self.narrow.iter().map(|coder| coder.search.bytes()).sum::<usize>();
        let wide = self.wide.iter().map(|coder| coder.search.bytes()).sum::<usize>();
        let own = size_of_val(self.ranks.as_slice())
            + size_of_val(self.narrow.as_slice())
            + size_of_val(self.wide.as_slice())
            + size_of_val(self.tests.as_slice());
        own + narrow + wide + cuts
    }

    /// Bytes a row.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Codes one row of features; code `c` goes to `out[c * stride]`.
    #[inline(always)]
    pub(super) fn row<T: Value>(&self, machine: impl Machine, row: &[T], rules: Rules, stride: usize, out: &mut [u8]) {
        if T::compares_as_f32(rules) {
            for coder in &self.narrow {
                coder.code(machine, row[coder.feature as usize].narrow(), stride, out);
            }
        } else {
            for coder in &self.wide {
                coder.code(machine, row[coder.feature as usize].wide(rules), stride, out);
            }
        }
        self.tests(row, rules, stride, out);
    }

    /// The part of [`Codes::row`] that is not about order.
    #[inline(always)]
    pub(super) fn tests<T: Value>(&self, row: &[T], rules: Rules, stride: usize, out: &mut [u8]) {
        let first = self.count - self.tests.len();
        for (place, test) in self.tests.iter().enumerate() {
            out[(first + place) * stride] = u8::from(!test.holds(row[test.feature].wide(rules), rules));
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Rank {
    /// How many codes it takes.
    #[inline(always)]
    pub(super) const fn codes(&self) -> usize {
        self.cuts.len().div_ceil(CUTS)
    }
}

/// By discriminant.
const MISSING: [Missing; 5] = [Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight];

impl Asked {
    fn add(&mut self, split: &Split, sets: &[usize], precision: Precision) {
        let place = (split.feature, split.missing as u8);
        if let Some(cut) = inclusive(split.test, precision) {
            self.cuts.entry(place).or_default().insert(Ordered(cut));
        } else if let Some(key) = key(split.test, sets) {
            self.tests.insert((place.0, place.1, key), 0);
        }
    }
}

/// The c for which the test says `x ≤ c`; none for a test of another kind.
fn inclusive(test: Test, precision: Precision) -> Option<f64> {
    match test {
        Test::AtMost(threshold) => Some(threshold),
        Test::Below(threshold) if threshold > f64::NEG_INFINITY => Some(match precision {
            Precision::F32 => f64::from((threshold as f32).next_down()),
            Precision::F64 => threshold.next_down(),
        }),
        // Below(-∞) too: nothing is, and no number comes before it to be at most.
        Test::Below(_) | Test::Equal(_) | Test::In(_) => None,
    }
}

/// `sets` are the numbers of the tree's sets.
fn key(test: Test, sets: &[usize]) -> Option<TestKey> {
    match test {
        Test::Equal(value) => Some(TestKey::Equal(Ordered(value))),
        Test::In(set) => sets.get(set as usize).copied().map(TestKey::In),
        // Holds for nothing, as no code is in an empty set.
        Test::Below(f64::NEG_INFINITY) => Some(TestKey::In(Sets::EMPTY)),
        Test::Below(_) | Test::AtMost(_) => None,
    }
}

/// The largest f32 that is at most `x`.
fn floor(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) > x { near.next_down() } else { near }
}

impl Membership {
    fn holds(&self, x: f64, rules: Rules) -> bool {
        let zero = x.is_nan() || x.abs() <= ZERO;
        let x = match self.missing {
            Missing::Left if x.is_nan() => return true,
            Missing::Right if x.is_nan() => return false,
            Missing::AsZero if x.is_nan() => 0.0,
            Missing::ZeroLeft if zero => return true,
            Missing::ZeroRight if zero => return false,
            Missing::Left | Missing::Right | Missing::AsZero | Missing::ZeroLeft | Missing::ZeroRight => x,
        };
        match &self.member {
            Member::Equal(value) => x == *value,
            Member::In(set) => rules.category.code(x).is_some_and(|code| set.contains(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::{CategoryRule, Column, ColumnKind, Feature, Leaves, Origin, Output, Task, Tree};

    /// A file of a few hundred kilobytes may hold one set of 2 MiB and thousands of splits that name it.
    #[test]
    fn a_set_is_held_once_however_many_splits_ask_for_it() {
        let tree = |feature: u32| Tree {
            nodes: vec![
                Node::Split(Split { feature, test: Test::In(0), missing: Missing::Right, right: 2 }),
                Node::Leaf(0),
                Node::Leaf(1),
            ],
            leaves: Leaves::Scalar { output: 0, values: vec![1.0, 2.0] },
            sets: vec![[3, 70_000].into_iter().collect()],
            covers: Vec::new(),
            linear: Vec::new(),
        };
        let column = |place: u32| Column { name: place.to_string(), kind: ColumnKind::Float };
        let ensemble = Ensemble {
            columns: (0..50).map(column).collect(),
            features: (0..50).map(Feature::column).collect(),
            rules: Rules { compare: Precision::F32, sum: Precision::F32, category: CategoryRule::Exact },
            trees: (0..100).map(|number| tree(number / 2)).collect(),
            output: Output::sum(1, Task::Regression),
            origin: Origin::default(),
        };
        ensemble.check().unwrap();
        let (codes, questions) = Codes::new(&ensemble).unwrap();
        assert_eq!((codes.tests.len(), questions.len()), (50, 100));
        let set = |test: &Membership| match &test.member {
            Member::In(set) => Arc::as_ptr(set),
            Member::Equal(_) => panic!("a set"),
        };
        let first = set(&codes.tests[0]);
        assert!(codes.tests.iter().all(|test| set(test) == first));
    }
}
