//! The way from the trees to a graph's outputs: what is done to their sums.

use std::rc::Rc;

use super::{budget::Budget, forest::Join};
use crate::{
    Error, Result,
    ensemble::{Aggregate, Leaves, Link, Output, Precision, Task, Tree},
};

/// Trees, and the first of the outputs that theirs are.
#[derive(Clone, Debug)]
struct Part {
    trees: Rc<Vec<Tree>>,
    width: usize,
    first: usize,
}

/// What trees answer, as far as the graph was followed: a row of numbers.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    parts: Vec<Part>,
    /// Margins.
    width: usize,
    join: Join,
    /// What the sums are divided by; 1 unless `join` is an average.
    divisor: f64,
    scale: f64,
    bias: Vec<f64>,
    link: Link,
    /// One margin that stands for two numbers: 1 minus the answer, and the answer.
    pair: bool,
    /// Precision in which features are compared.
    compare: Precision,
    sum: Precision,
    /// Precision of the tensor, which a `Cast` changes.
    element: Precision,
    task: Task,
    classes: Vec<String>,
}

/// The parts of [`Scores`] that a tree operator gives.
pub(super) struct Raw {
    pub(super) trees: Vec<Tree>,
    pub(super) width: usize,
    pub(super) join: Join,
    pub(super) bias: Vec<f64>,
    pub(super) link: Link,
    pub(super) pair: bool,
    pub(super) precision: Precision,
    pub(super) task: Task,
    pub(super) classes: Vec<String>,
}

impl Scores {
    pub(super) fn new(raw: Raw) -> Self {
        let Raw { trees, width, join, bias, link, pair, precision, task, classes } = raw;
        let divisor = if join == Join::Average { trees.len() as f64 } else { 1.0 };
        let part = Part { trees: Rc::new(trees), width, first: 0 };
        Self {
            parts: vec![part],
            width,
            join,
            divisor,
            scale: 1.0,
            bias,
            link,
            pair,
            compare: precision,
            sum: precision,
            element: precision,
            task,
            classes,
        }
    }

    /// Numbers a row.
    pub(super) fn columns(&self) -> usize {
        if self.pair { 2 } else { self.width }
    }

    /// Refuses what only plain sums can have done to them.
    fn plain(&self, op: &str) -> Result<()> {
        if self.link == Link::Identity && !self.pair {
            return Ok(());
        }
        Err(Error::unsupported(format!("{op} on probabilities or behind another function"), "end the graph before it"))
    }

    pub(super) fn cast(mut self, to: Precision) -> Self {
        self.element = to;
        self
    }

    /// Multiplies by a constant.
    pub(super) fn multiply(mut self, factor: f64, op: &str) -> Result<Self> {
        if factor == 1.0 {
            return Ok(self);
        }
        if self.link == Link::Exp && !self.pair && factor > 0.0 && factor.is_finite() {
            // factor · exp(x) = exp(x + ln factor): how XGBoost itself has it before onnxmltools writes the product.
            self.bias.iter_mut().for_each(|bias| *bias += factor.ln());
            return Ok(self);
        }
        self.plain(op)?;
        if !factor.is_finite() {
            return Err(Error::content(format!("a finite factor of {op}"), factor));
        }
        self.scale *= factor;
        self.bias.iter_mut().for_each(|bias| *bias *= factor);
        Ok(self)
    }

    /// Divides by a constant.
    pub(super) fn divide(mut self, divisor: f64, op: &str) -> Result<Self> {
        if divisor == 0.0 || !divisor.is_finite() {
            return Err(Error::content(format!("a finite divisor other than 0 of {op}"), divisor));
        }
        // Divided as the file says where a mean can say it: x · (1 / 3) is not x / 3.
        if self.join == Join::Sum && self.scale == 1.0 && self.link == Link::Identity && !self.pair {
            self.join = Join::Average;
            self.divisor = divisor;
            self.bias.iter_mut().for_each(|bias| *bias /= divisor);
            return Ok(self);
        }
        self.multiply(1.0 / divisor, op)
    }

    /// Adds constants, one or one a column.
    pub(super) fn add(mut self, terms: &[f64], op: &str) -> Result<Self> {
        if terms.iter().all(|term| *term == 0.0) {
            return Ok(self);
        }
        self.plain(op)?;
        if terms.len() != 1 && terms.len() != self.width {
            return Err(Error::content(format!("one term or {} of {op}", self.width), terms.len()));
        }
        for (bias, term) in self.bias.iter_mut().zip(terms.iter().cycle()) {
            *bias += term;
        }
        Ok(self)
    }

    /// Applies a function of each number, or of all.
    pub(super) fn link(mut self, link: Link, op: &str) -> Result<Self> {
        self.plain(op)?;
        self.link = link;
        Ok(self)
    }

    /// Divides a row by the sum of its absolute values: nothing to do where that is 1 already.
    pub(super) fn normalize(self, op: &str) -> Result<Self> {
        let logistic = matches!(self.link, Link::Logistic { alpha: _ }) && self.pair;
        if logistic || self.link == Link::Softmax {
            return Ok(self);
        }
        Err(Error::unsupported(format!("{op} of what may not add up to 1"), "normalize the answer outside"))
    }

    /// Adds the sums of several operators. The order in which trees are added is theirs, which ONNX leaves open.
    pub(super) fn sum(all: Vec<Self>, op: &str, budget: &Budget) -> Result<Self> {
        for scores in &all {
            scores.plain(op)?;
        }
        Self::together(all, op, budget)
    }

    /// Their mean; that of pairs too, since 1 minus a mean is the mean of 1 minus.
    pub(super) fn mean(all: Vec<Self>, op: &str, budget: &Budget) -> Result<Self> {
        let count = all.len() as f64;
        let pairs = all.iter().all(|scores| scores.pair && scores.link == Link::Identity);
        let unpaired = all.into_iter().map(|scores| Self { pair: scores.pair && !pairs, ..scores }).collect();
        let sum = Self::sum(unpaired, op, budget)?;
        Ok(Self { pair: pairs, ..sum.divide(count, op)? })
    }

    fn together(all: Vec<Self>, op: &str, budget: &Budget) -> Result<Self> {
        let mut all = all.into_iter();
        let Some(mut sum) = all.next() else { return Err(Error::content(format!("an input of {op}"), "none")) };
        for other in all {
            budget.spend(sum.parts.len() + other.parts.len())?;
            let adds = |join| matches!(join, Join::Sum | Join::Average);
            let alike = sum.scale == other.scale
                && sum.divisor == other.divisor
                && adds(sum.join)
                && adds(other.join)
                && sum.compare == other.compare;
            if !alike {
                return Err(Error::unsupported(
                    format!("{op} of trees that differ in their factors, aggregates or types"),
                    "export each model alone and add their answers",
                ));
            }
            if sum.width != other.width {
                return Err(Error::content(format!("{} columns in each input of {op}", sum.width), other.width));
            }
            sum.parts.extend(other.parts);
            sum.bias.iter_mut().zip(&other.bias).for_each(|(bias, other)| *bias += other);
            if other.element == Precision::F64 {
                sum.element = Precision::F64;
            }
        }
        if sum.element == Precision::F64 {
            sum.sum = Precision::F64;
        }
        Ok(sum)
    }

    /// Columns side by side.
    pub(super) fn beside(all: Vec<Self>, op: &str, budget: &Budget) -> Result<Self> {
        let mut all = all.into_iter();
        let Some(mut wide) = all.next() else { return Err(Error::content(format!("an input of {op}"), "none")) };
        for other in all {
            budget.spend(wide.parts.len() + other.parts.len() + wide.width + other.width)?;
            let each = !matches!(wide.link, Link::Softmax | Link::SoftmaxZero);
            let alike = wide.scale == other.scale
                && wide.divisor == other.divisor
                && wide.join == other.join
                && wide.link == other.link
                && (wide.compare, wide.sum) == (other.compare, other.sum)
                && !wide.pair
                && !other.pair;
            if !alike || !each {
                return Err(Error::unsupported(
                    format!("{op} of trees that differ in their functions, factors, aggregates or types"),
                    "export each model alone",
                ));
            }
            wide.parts.extend(other.parts.into_iter().map(|part| Part { first: part.first + wide.width, ..part }));
            wide.width += other.width;
            wide.bias.extend(other.bias);
            wide.classes.extend(other.classes);
        }
        Ok(wide)
    }

    /// Some of the columns.
    pub(super) fn select(mut self, columns: &[usize], op: &str, budget: &Budget) -> Result<Self> {
        if columns.iter().copied().eq(0..self.columns()) {
            return Ok(self);
        }
        if self.pair && columns == [1] {
            self.pair = false;
            return Ok(self);
        }
        if self.pair || columns.is_empty() || matches!(self.link, Link::Softmax | Link::SoftmaxZero) {
            return Err(Error::unsupported(
                format!("{op} of columns {columns:?} of probabilities that hang together"),
                "keep all of them",
            ));
        }
        let (width, nothing) = (self.width, self.join.nothing());
        let mut trees = Vec::new();
        for part in &self.parts {
            for tree in part.trees.iter() {
                budget.spend(tree.nodes.len() + tree.leaf_count().saturating_mul(width.max(columns.len())))?;
                let all = spread(tree, part, width, nothing);
                let values = all.chunks(width).flat_map(|row| columns.iter().map(|column| row[*column])).collect();
                trees.push(Tree { leaves: Leaves::Vector(values), ..tree.clone() });
            }
        }
        self.parts = vec![Part { trees: Rc::new(trees), width: columns.len(), first: 0 }];
        self.bias = columns.iter().map(|column| self.bias[*column]).collect();
        self.classes = columns.iter().filter_map(|column| self.classes.get(*column).cloned()).collect();
        self.width = columns.len();
        Ok(self)
    }

    /// The trees and what becomes of their sums.
    pub(super) fn finish(self, budget: &Budget) -> Result<(Vec<Tree>, Output, Precision, Precision)> {
        let Self { parts, width, join, divisor, scale, bias, link, pair: _, compare, sum, element: _, task, classes } =
            self;
        let mut trees = Vec::new();
        for part in parts {
            let whole = part.first == 0 && part.width == width;
            for tree in part.trees.iter() {
                budget.spend(tree.nodes.len())?;
                let leaves = match &tree.leaves {
                    Leaves::Scalar { output, values } => {
                        Leaves::Scalar { output: *output + part.first as u32, values: values.clone() }
                    }
                    leaves @ Leaves::Vector(_) if whole => leaves.clone(),
                    Leaves::Vector(_) => {
                        budget.spend(tree.leaf_count().saturating_mul(width))?;
                        Leaves::Vector(spread(tree, &part, width, join.nothing()))
                    }
                };
                trees.push(Tree { leaves, ..tree.clone() });
            }
        }
        let aggregate = match join {
            Join::Sum => Aggregate::Sum,
            Join::Average => Aggregate::Mean(vec![divisor; width]),
            Join::Min => Aggregate::Min,
            Join::Max => Aggregate::Max,
        };
        // What was taken apart or put together is no distribution over the classes any more.
        let whole = match task {
            Task::Binary => classes.len() == 2 && width <= 2,
            Task::Multiclass => classes.len() == width,
            Task::Regression | Task::Ranking | Task::Anomaly => true,
        };
        let task = if whole { task } else { Task::Regression };
        let classes = if task == Task::Regression { Vec::new() } else { classes };
        let output = Output { width, aggregate, start: vec![0.0; width], scale, bias, link, task, classes };
        Ok((trees, output, compare, sum))
    }
}

/// A tree's leaf values for each of `width` outputs, of which its part has some.
fn spread(tree: &Tree, part: &Part, width: usize, nothing: f64) -> Vec<f64> {
    let mut all = vec![nothing; tree.leaf_count() * width];
    for (leaf, row) in all.chunks_mut(width).enumerate() {
        match &tree.leaves {
            Leaves::Scalar { output, values } => row[part.first + *output as usize] = values[leaf],
            Leaves::Vector(values) => {
                row[part.first..][..part.width].copy_from_slice(&values[leaf * part.width..][..part.width]);
            }
        }
    }
    all
}
