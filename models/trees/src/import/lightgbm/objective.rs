//! What a model was trained for.

use crate::{
    Error, Result,
    ensemble::{Link, Task},
};

/// The objective's words: its name, then settings `key:value`, or a bare `sqrt`.
pub(super) struct Objective<'a> {
    words: Vec<&'a str>,
}

impl<'a> Objective<'a> {
    /// From the header's line; none for a model that was trained with a function of the caller's own.
    pub(super) fn new(line: Option<&'a str>) -> Self {
        Self { words: line.unwrap_or_default().split_ascii_whitespace().collect() }
    }

    /// Its name; empty when there is none.
    pub(super) fn name(&self) -> &'a str {
        self.words.first().copied().unwrap_or_default()
    }

    /// From margins to answers, as `LightGBM`'s `ConvertOutput` of each objective does it, and what is predicted with
    /// `width` margins a row.
    pub(super) fn link(&self, width: usize) -> Result<(Link, Task)> {
        let one = |link, task| {
            if width == 1 {
                Ok((link, task))
            } else {
                Err(Error::content(format!("one tree per iteration for the objective {}", self.name()), width))
            }
        };
        match self.name() {
            "" | "none" | "null" | "custom" if width == 1 => Ok((Link::Identity, Task::Regression)),
            "" | "none" | "null" | "custom" => Ok((Link::Identity, Task::Multiclass)),
            "regression" | "regression_l2" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => {
                let root = self.words.contains(&"sqrt");
                one(if root { Link::SignedSquare } else { Link::Identity }, Task::Regression)
            }
            "poisson" | "gamma" | "tweedie" => one(Link::Exp, Task::Regression),
            "cross_entropy" | "xentropy" => one(Link::Logistic { alpha: 1.0 }, Task::Regression),
            "cross_entropy_lambda" | "xentlambda" => one(Link::Softplus, Task::Regression),
            "binary" => one(Link::Logistic { alpha: self.sigmoid()? }, Task::Binary),
            "lambdarank" | "rank_xendcg" => one(Link::Identity, Task::Ranking),
            "multiclass" => self.classes(width).map(|()| (Link::Softmax, Task::Multiclass)),
            "multiclassova" => {
                self.classes(width)?;
                Ok((Link::Logistic { alpha: self.sigmoid()? }, Task::Multiclass))
            }
            other => Err(Error::unsupported(
                format!("the objective `{other}`"),
                "remove the line `objective=` to serve the margins",
            )),
        }
    }

    fn setting(&self, key: &str) -> Option<&'a str> {
        self.words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix(':'))
    }

    fn sigmoid(&self) -> Result<f64> {
        let Some(word) = self.setting("sigmoid") else {
            return Ok(1.0);
        };
        let alpha = word.parse::<f64>().ok().filter(|alpha| alpha.is_finite() && *alpha > 0.0);
        alpha.ok_or_else(|| Error::content("a number above 0 as `sigmoid` of the objective", format!("`{word}`")))
    }

    fn classes(&self, width: usize) -> Result<()> {
        let Some(word) = self.setting("num_class") else {
            return Err(Error::content(format!("`num_class` in the objective {}", self.name()), "none"));
        };
        if word.parse() == Ok(width) {
            Ok(())
        } else {
            Err(Error::content(format!("a tree per iteration for each of {word} classes"), width))
        }
    }
}
