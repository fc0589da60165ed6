//! What the tree operators answer: ONNX Runtime 1.32's reading of `base_values`, `post_transform` and class weights, where
//! the standard leaves it open.
//!
//! - A regressor of one target applies no `post_transform` but `PROBIT`.
//! - A classifier of two classes whose weights are all for the first class has one score s, and answers (σ(−s), σ(s)) for
//!   `LOGISTIC`; else (1 − s, s) when no weight is negative, and (−s, s) when some is.
//! - What it computes there and contradicts itself, the standard and itself of other versions, is refused.

use super::{
    budget::Budget,
    forest::{Forest, Join, Post},
    scores::{Raw, Scores},
};
use crate::{
    Error, Result,
    ensemble::{Link, Precision, Task},
};

impl Forest {
    fn precision(&self) -> Precision {
        if self.double { Precision::F64 } else { Precision::F32 }
    }

    /// Refuses rows to which no tree might give a weight for a target, where that makes ONNX Runtime's answer another than
    /// the standard's: 0 for a least or greatest, and no base value.
    fn check_weighted(&self, budget: &Budget) -> Result<()> {
        if self.join == Join::Average && self.trees.is_empty() {
            return Err(Error::content("a tree to average", "none"));
        }
        let extreme = matches!(self.join, Join::Min | Join::Max);
        let matters =
            |target: usize| extreme || (self.width > 1 && self.base.get(target).is_some_and(|base| *base != 0.0));
        let always = self.always(budget)?;
        match (0..self.width).find(|target| matters(*target) && !always[*target]) {
            None => Ok(()),
            Some(target) => Err(Error::unsupported(
                format!(
                    "aggregate_function {:?} or base_values without a tree that always weighs target {target}",
                    self.join
                ),
                "give each leaf a weight for each target",
            )),
        }
    }

    /// A regressor's answer.
    pub(super) fn regression(self, budget: &Budget) -> Result<Scores> {
        if !self.base.is_empty() && self.base.len() != self.width {
            return Err(Error::content(format!("{} `base_values`", self.width), self.base.len()));
        }
        self.check_weighted(budget)?;
        let link = match self.post {
            Post::Probit => Link::Probit,
            _ if self.width == 1 => Link::Identity,
            other => link(other),
        };
        self.answer(link, Task::Regression, Vec::new(), budget)
    }

    /// A classifier's probabilities. `classes` are its labels.
    pub(super) fn classification(self, classes: Vec<String>, budget: &Budget) -> Result<Scores> {
        if self.join != Join::Sum {
            return Err(Error::content("no `aggregate_function` at a classifier", format!("{:?}", self.join)));
        }
        match self.width {
            0 => Err(Error::content("class labels", "none")),
            1 => Err(Error::unsupported(
                "TreeEnsembleClassifier of one class",
                "export it with both classes, or as a regressor",
            )),
            2 => self.two_classes(classes, budget),
            width => {
                if !self.base.is_empty() && self.base.len() != width {
                    return Err(Error::content(format!("{width} `base_values`"), self.base.len()));
                }
                let link = link(self.post);
                self.answer(link, Task::Multiclass, classes, budget)
            }
        }
    }

    fn two_classes(self, classes: Vec<String>, budget: &Budget) -> Result<Scores> {
        let always = self.always(budget)?;
        let of_first = self.weights.iter().all(|(_, class, _)| *class == 0);
        if of_first && self.base.len() < 2 && always[0] {
            return self.one_score(classes, budget);
        }
        if !self.base.is_empty() {
            return Err(Error::unsupported(
                format!(
                    "TreeEnsembleClassifier of two classes with weights for the second and {} base_values",
                    self.base.len()
                ),
                "add the base values to the weights of one tree",
            ));
        }
        if !always[1] {
            return Err(Error::unsupported(
                "TreeEnsembleClassifier of two classes without a tree that always weighs the second",
                "give each leaf a weight for each class",
            ));
        }
        let link = link(self.post);
        self.answer(link, Task::Binary, classes, budget)
    }

    fn one_score(self, classes: Vec<String>, budget: &Budget) -> Result<Scores> {
        let precision = self.precision();
        let base = self.base.first().copied().unwrap_or(0.0);
        let negative = self.weights.iter().any(|(_, _, weight)| *weight < 0.0);
        let raw = |trees, bias: Vec<f64>, link, pair| Raw {
            trees,
            width: bias.len(),
            join: Join::Sum,
            bias,
            link,
            pair,
            precision,
            task: Task::Binary,
            classes,
        };
        match self.post {
            Post::Probit => {
                Err(Error::unsupported("post_transform PROBIT with one score for two classes", "use a regressor"))
            }
            Post::Logistic => {
                let trees = Self { width: 1, ..self }.plain(budget)?;
                Ok(Scores::new(raw(trees, vec![base], Link::Logistic { alpha: 1.0 }, true)))
            }
            Post::None | Post::Softmax | Post::SoftmaxZero if negative => {
                Ok(Scores::new(raw(self.mirrored(), vec![-base, base], Link::Identity, false)))
            }
            Post::None | Post::Softmax | Post::SoftmaxZero => {
                let trees = Self { width: 1, ..self }.plain(budget)?;
                Ok(Scores::new(raw(trees, vec![base], Link::Identity, true)))
            }
        }
    }

    fn answer(self, link: Link, task: Task, classes: Vec<String>, budget: &Budget) -> Result<Scores> {
        let (width, join, precision) = (self.width, self.join, self.precision());
        let bias = if self.base.is_empty() { vec![0.0; width] } else { self.base.clone() };
        let trees = self.plain(budget)?;
        Ok(Scores::new(Raw { trees, width, join, bias, link, pair: false, precision, task, classes }))
    }
}

fn link(post: Post) -> Link {
    match post {
        Post::None => Link::Identity,
        Post::Softmax => Link::Softmax,
        Post::Logistic => Link::Logistic { alpha: 1.0 },
        Post::SoftmaxZero => Link::SoftmaxZero,
        Post::Probit => Link::Probit,
    }
}
