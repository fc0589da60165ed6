//! Random forests over random rows, and what they mean.

use super::super::{CategoryRule, Child, Code, Missing, NEAR_ZERO, Split, Test as Coded, Tree};

/// Thresholds a code.
const CUTS: usize = 255;

/// A small generator with a period long enough for tests.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Mostly on a grid coarse enough to hit thresholds often; else what hardware gets wrong.
    pub(super) fn value(&mut self) -> f32 {
        const DIFFICULT: [f32; 14] = [
            0.0,
            -0.0,
            1e-45,
            -1e-45,
            NEAR_ZERO,
            -NEAR_ZERO,
            1.1e-35,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            -f32::NAN,
            f32::MAX,
            f32::MIN,
            16_777_216.0,
        ];
        match self.below(8) {
            0 => DIFFICULT[self.below(DIFFICULT.len())],
            1 => self.below(80) as f32 - 10.0,
            _ => (self.below(2001) as f32 - 1000.0) / 250.0,
        }
    }

    fn number(&mut self) -> f32 {
        loop {
            let value = self.value();
            if !value.is_nan() {
                return value;
            }
        }
    }
}

/// What splits ask of a feature.
pub(super) struct Asked {
    pub(super) feature: usize,
    pub(super) missing: Missing,
    pub(super) test: Test,
    /// The first of its codes.
    first: usize,
}

pub(super) enum Test {
    Cuts(Vec<f32>),
    Equal(f32),
    In(Vec<u32>),
}

/// A forest with the meaning of its codes.
pub(super) struct Random {
    pub(super) features: usize,
    pub(super) width: usize,
    pub(super) rule: CategoryRule,
    asked: Vec<Asked>,
    trees: Vec<Grown>,
}

struct Grown {
    splits: Vec<Split>,
    /// What each split asks: a question and the place of its threshold.
    asks: Vec<(usize, usize)>,
    values: Vec<f64>,
    output: Option<usize>,
}

impl Random {
    /// Trees of this depth and no deeper (but those of one leaf among them), some full and some bare.
    pub(super) fn new(noise: &mut Noise, depth: usize, trees: usize, width: usize, vectors: bool) -> Self {
        let features = 1 + noise.below(12);
        let rule = [CategoryRule::Truncate, CategoryRule::TruncateNonNegative, CategoryRule::Exact][noise.below(3)];
        let mut random = Self { features, width, rule, asked: Vec::new(), trees: Vec::new() };
        if depth > 0 {
            random.ask(noise);
        }
        for tree in 0..trees {
            let lone = tree % 5 == 3;
            random.grow(noise, if lone { 0 } else { depth }, vectors);
        }
        random
    }

    /// One tree over so many codes that they fill no device's shared memory.
    pub(super) fn wide(noise: &mut Noise, codes: usize) -> Self {
        let (features, rule) = (3, CategoryRule::Exact);
        let mut random = Self { features, width: 1, rule, asked: Vec::new(), trees: Vec::new() };
        for first in 0..codes {
            let test = Test::Cuts(vec![noise.number()]);
            random.asked.push(Asked { feature: noise.below(features), missing: Missing::Right, test, first });
        }
        for _ in 0..20 {
            random.grow(noise, 9, false);
        }
        random
    }

    /// Every kind of question with every treatment of missing values, one of more thresholds than a byte tells apart.
    fn ask(&mut self, noise: &mut Noise) {
        let missing = [Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight];
        let mut first = 0;
        for (place, missing) in missing.into_iter().enumerate() {
            let count = [1, 3, 40, 255, 700][(place + noise.below(5)) % 5];
            let mut cuts: Vec<f32> = (0..count).map(|_| noise.number()).collect();
            cuts.sort_by(f32::total_cmp);
            let words = (0..=noise.below(3)).map(|_| noise.below(1 << 31) as u32).collect();
            for test in [Test::Cuts(cuts), Test::Equal(noise.number()), Test::In(words)] {
                let codes = if let Test::Cuts(cuts) = &test { cuts.len().div_ceil(CUTS) } else { 1 };
                self.asked.push(Asked { feature: noise.below(self.features), missing, test, first });
                first += codes;
            }
        }
    }

    fn grow(&mut self, noise: &mut Noise, depth: usize, vectors: bool) {
        // A bare tree has one way down to its depth; a full one, most ways.
        let bare = noise.below(4) == 0 || depth > 10;
        let mut tree = Grown { splits: Vec::new(), asks: Vec::new(), values: Vec::new(), output: None };
        let mut leaves = 0;
        if depth > 0 {
            self.branch(noise, &mut tree, &mut leaves, depth, bare, true);
        } else {
            leaves = 1;
        }
        let each = if vectors { self.width } else { 1 };
        tree.values = (0..leaves * each as u32).map(|_| f64::from(noise.value()).clamp(-30.0, 30.0) / 3.0).collect();
        tree.values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.25);
        tree.output = (!vectors).then(|| noise.below(self.width));
        self.trees.push(tree);
    }

    /// Grows a split, and below it two branches, of which one goes as deep as it may when `deep`; gives its place.
    fn branch(
        &self,
        noise: &mut Noise,
        tree: &mut Grown,
        leaves: &mut u32,
        depth: usize,
        bare: bool,
        deep: bool,
    ) -> u32 {
        let place = tree.splits.len();
        let ask = noise.below(self.asked.len());
        let asked = &self.asked[ask];
        let index = if let Test::Cuts(cuts) = &asked.test { noise.below(cuts.len()) } else { 0 };
        let (code, cut) = ((asked.first + index / CUTS) as u32, (index % CUTS) as u8);
        tree.splits.push(Split { code, cut, left: Child::Leaf(0), right: Child::Leaf(0) });
        tree.asks.push((ask, index));
        let deep_side = noise.below(2);
        let mut children = [Child::Leaf(0); 2];
        for (side, child) in children.iter_mut().enumerate() {
            let deep = deep && side == deep_side;
            let grows = depth > 1 && (deep || (!bare && noise.below(8) != 0));
            *child = if grows {
                Child::Split(self.branch(noise, tree, leaves, depth - 1, bare, deep))
            } else {
                *leaves += 1;
                Child::Leaf(*leaves - 1)
            };
        }
        [tree.splits[place].left, tree.splits[place].right] = children;
        place as u32
    }

    pub(super) fn rows(&self, noise: &mut Noise, rows: usize) -> Vec<f32> {
        (0..rows * self.features).map(|_| noise.value()).collect()
    }

    pub(super) fn codes(&self) -> Vec<Code<'_>> {
        let mut codes = Vec::new();
        for Asked { feature, missing, test, first: _ } in &self.asked {
            let code = |test| Code { feature: *feature, missing: *missing, test };
            match test {
                Test::Cuts(cuts) => codes.extend(cuts.chunks(CUTS).map(|cuts| code(Coded::Cuts(cuts)))),
                Test::Equal(value) => codes.push(code(Coded::Equal(*value))),
                Test::In(words) => codes.push(code(Coded::In(words))),
            }
        }
        codes
    }

    pub(super) fn trees(&self) -> Vec<Tree<'_>> {
        let each = self.trees.iter();
        each.map(|Grown { splits, values, output, .. }| Tree { splits, values, output: *output }).collect()
    }

    /// The leaf of each tree, by the definition.
    pub(super) fn leaves(&self, row: &[f32]) -> Vec<u32> {
        let leaf = |tree: &Grown| {
            let mut place = if tree.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) };
            loop {
                match place {
                    Child::Leaf(leaf) => return leaf,
                    Child::Split(split) => {
                        let (ask, index) = tree.asks[split as usize];
                        let asked = &self.asked[ask];
                        let left = super::holds(asked, self.rule, index, row[asked.feature]);
                        let Split { left: yes, right: no, .. } = tree.splits[split as usize];
                        place = if left { yes } else { no };
                    }
                }
            }
        };
        self.trees.iter().map(leaf).collect()
    }

    /// The sum of an output, and the sum of the magnitudes.
    pub(super) fn sum(&self, leaves: &[u32], output: usize) -> (f64, f64) {
        let value = |(tree, leaf): (&Grown, &u32)| match tree.output {
            Some(other) if other != output => 0.0,
            Some(_) => tree.values[*leaf as usize],
            None => tree.values[*leaf as usize * self.width + output],
        };
        let values = self.trees.iter().zip(leaves).map(value);
        values.fold((0.0, 0.0), |(sum, magnitude), value| (sum + value, magnitude + value.abs()))
    }
}
