//! Answers by walking node by node: what every faster way is tested against.

use crate::{
    Ensemble,
    ensemble::{Aggregate, Leaves, Missing, Node, Precision, Rules, Split, Test, Tree, ZERO},
};

impl Ensemble {
    /// The features of a row, from its columns' values (codes for categories, NaN for what is missing). Columns beyond the row's
    /// end are missing.
    #[must_use]
    pub fn features_of(&self, columns: &[f64]) -> Vec<f64> {
        let value = |feature: &crate::ensemble::Feature| {
            let column = columns.get(feature.column as usize).copied().unwrap_or(f64::NAN);
            let value = feature.steps.iter().fold(column, |x, step| step.apply(x));
            self.rules.compare.round(value)
        };
        self.features.iter().map(value).collect()
    }

    /// Number of the leaf that each tree leads a row to, from the row's features.
    ///
    /// # Panics
    /// When the row is shorter than [`Ensemble::features`], or the ensemble would not pass [`Ensemble::check`].
    #[must_use]
    pub fn leaves(&self, features: &[f64]) -> Vec<u32> {
        self.trees.iter().map(|tree| tree.leaf(features, self.rules)).collect()
    }

    /// A row's margins, from its features.
    ///
    /// # Panics
    /// As [`Ensemble::leaves`].
    #[must_use]
    pub fn margins(&self, features: &[f64]) -> Vec<f64> {
        let output = &self.output;
        let sum = self.rules.sum;
        let mut margins = output.start.clone();
        match output.aggregate {
            Aggregate::Sum | Aggregate::Mean(_) => {}
            Aggregate::Min => margins.fill(f64::INFINITY),
            Aggregate::Max => margins.fill(f64::NEG_INFINITY),
        }
        let join = |margin: &mut f64, value: f64| {
            *margin = match output.aggregate {
                Aggregate::Sum | Aggregate::Mean(_) => sum.round(*margin + value),
                Aggregate::Min => margin.min(value),
                Aggregate::Max => margin.max(value),
            };
        };
        for tree in &self.trees {
            let leaf = tree.leaf(features, self.rules) as usize;
            match &tree.leaves {
                Leaves::Scalar { output, values } => {
                    let value =
                        tree.linear.get(leaf).map_or(values[leaf], |linear| linear.value(features, values[leaf]));
                    join(&mut margins[*output as usize], value);
                }
                Leaves::Vector(values) => {
                    let values = &values[leaf * output.width..][..output.width];
                    margins.iter_mut().zip(values).for_each(|(margin, value)| join(margin, *value));
                }
            }
        }
        for (place, margin) in margins.iter_mut().enumerate() {
            if let Aggregate::Mean(divisors) = &output.aggregate {
                *margin = sum.round(*margin / divisors[place]);
            }
            *margin = sum.round(sum.round(*margin * output.scale) + output.bias[place]);
        }
        margins
    }

    /// A row's answer, from its columns' values.
    #[must_use]
    pub fn answer(&self, columns: &[f64]) -> Vec<f64> {
        let mut margins = self.margins(&self.features_of(columns));
        self.output.link.apply(&mut margins, self.rules.sum);
        margins
    }
}

impl Precision {
    /// `x` rounded to this precision.
    #[must_use]
    pub fn round(self, x: f64) -> f64 {
        match self {
            Self::F32 => f64::from(x as f32),
            Self::F64 => x,
        }
    }
}

impl Tree {
    /// Number of the leaf that a row's features lead to.
    #[must_use]
    pub fn leaf(&self, features: &[f64], rules: Rules) -> u32 {
        let mut index = 0;
        loop {
            match &self.nodes[index] {
                Node::Leaf(leaf) => return *leaf,
                Node::Split(split) if self.goes_left(split, features[split.feature as usize], rules) => index += 1,
                Node::Split(split) => index = split.right as usize,
            }
        }
    }

    /// Whether a feature's value goes left at a split.
    #[must_use]
    pub fn goes_left(&self, split: &Split, x: f64, rules: Rules) -> bool {
        let zero = x.is_nan() || x.abs() <= ZERO;
        let x = match split.missing {
            Missing::Left if x.is_nan() => return true,
            Missing::Right if x.is_nan() => return false,
            Missing::AsZero if x.is_nan() => 0.0,
            Missing::ZeroLeft if zero => return true,
            Missing::ZeroRight if zero => return false,
            Missing::Left | Missing::Right | Missing::AsZero | Missing::ZeroLeft | Missing::ZeroRight => x,
        };
        match split.test {
            Test::Below(threshold) => x < threshold,
            Test::AtMost(threshold) => x <= threshold,
            Test::Equal(threshold) => x == threshold,
            Test::In(set) => rules.category.code(x).is_some_and(|code| self.sets[set as usize].contains(code)),
        }
    }
}

impl crate::ensemble::LinearLeaf {
    /// The function's value, or `otherwise` when a feature it asks is missing.
    #[must_use]
    pub fn value(&self, features: &[f64], otherwise: f64) -> f64 {
        let mut value = self.constant;
        for (feature, coefficient) in &self.terms {
            let x = features[*feature as usize];
            if x.is_nan() {
                return otherwise;
            }
            value += coefficient * x;
        }
        value
    }
}
