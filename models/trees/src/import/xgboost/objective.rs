//! What each objective makes of margins and of `base_score` (`src/objective/` of XGBoost: `PredTransform`,
//! `ProbToMargin`).

use crate::ensemble::{Link, Task};

/// An objective, with what it takes to write it too.
pub(crate) struct Objective {
    /// Its name in files.
    pub(crate) name: &'static str,
    /// From margins to what `Booster.predict` answers.
    pub(crate) link: Link,
    /// What `base_score` is.
    pub(crate) base: Base,
    /// What is predicted, by a model of one output.
    pub(crate) task: Task,
    /// The name of its block of parameters, and these with values for models from elsewhere; none when it has no block.
    pub(crate) block: Option<Block>,
}

/// Name of a block of parameters, and the parameters with their defaults.
pub(crate) type Block = (&'static str, &'static [(&'static str, &'static str)]);

/// What `base_score` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The margin itself.
    Margin,
    /// A probability; the margin is its logit.
    Probability,
    /// A mean; the margin is its logarithm.
    Mean,
}

impl Base {
    /// The margin that trees are added to, with the engine's own steps in f32. A mean of 0, as XGBoost 3 writes when
    /// all labels are 0, gives -∞, and the engine answers so.
    pub(crate) fn margin(self, base_score: f32) -> f32 {
        match self {
            Self::Margin => base_score,
            // XGBoost 3 writes 0 or 1 when all labels are alike, and keeps away from them here.
            Self::Probability => -(1.0 / base_score.clamp(1e-6, 1.0 - 1e-6) - 1.0).ln(),
            Self::Mean => base_score.ln(),
        }
    }

    /// The `base_score` whose margin is 0.
    pub(crate) const fn neutral(self) -> f32 {
        match self {
            Self::Margin => 0.0,
            Self::Probability => 0.5,
            Self::Mean => 1.0,
        }
    }

    /// A `base_score` whose margin is exactly this; none when no 32-bit number is.
    pub(crate) fn score(self, margin: f32) -> Option<f32> {
        let near = match self {
            Self::Margin => return Some(margin),
            Self::Probability => 1.0 / (1.0 + (-margin).exp()),
            Self::Mean => margin.exp(),
        };
        // Exponential and logarithm are each rounded: the number that was meant is this one or beside it.
        let tried = [near, near.next_up(), near.next_down(), near.next_up().next_up(), near.next_down().next_down()];
        let exact = |score: &f32| self.margin(*score) == margin;
        tried.into_iter().find(exact)
    }
}

const LOGISTIC: Link = Link::Logistic { alpha: 1.0 };
const REGRESSION: Block = ("reg_loss_param", &[("scale_pos_weight", "1")]);
const CLASSES: Block = ("softmax_multiclass_param", &[("num_class", "0")]);
const RANKING: Block = (
    "lambdarank_param",
    &[
        ("lambdarank_bias_norm", "1"),
        ("lambdarank_normalization", "1"),
        ("lambdarank_num_pair_per_sample", "4294967295"),
        ("lambdarank_pair_method", "topk"),
        ("lambdarank_score_normalization", "1"),
        ("lambdarank_unbiased", "0"),
        ("ndcg_exp_gain", "1"),
    ],
);

const fn objective(name: &'static str, link: Link, base: Base, task: Task, block: Option<Block>) -> Objective {
    Objective { name, link, base, task, block }
}

/// Every objective that is read.
pub(crate) static OBJECTIVES: [Objective; 20] = [
    objective("reg:squarederror", Link::Identity, Base::Margin, Task::Regression, Some(REGRESSION)),
    // The old name of the former.
    objective("reg:linear", Link::Identity, Base::Margin, Task::Regression, Some(REGRESSION)),
    objective("reg:squaredlogerror", Link::Identity, Base::Margin, Task::Regression, None),
    objective("reg:logistic", LOGISTIC, Base::Probability, Task::Regression, Some(REGRESSION)),
    objective(
        "reg:pseudohubererror",
        Link::Identity,
        Base::Margin,
        Task::Regression,
        Some(("pseudo_huber_param", &[("huber_slope", "1")])),
    ),
    objective("reg:absoluteerror", Link::Identity, Base::Margin, Task::Regression, None),
    objective(
        "reg:quantileerror",
        Link::Identity,
        Base::Margin,
        Task::Regression,
        Some(("quantile_loss_param", &[("quantile_alpha", "[5E-1]")])),
    ),
    objective("reg:gamma", Link::Exp, Base::Mean, Task::Regression, Some(REGRESSION)),
    objective(
        "reg:tweedie",
        Link::Exp,
        Base::Mean,
        Task::Regression,
        Some(("tweedie_regression_param", &[("tweedie_variance_power", "1.5")])),
    ),
    objective(
        "count:poisson",
        Link::Exp,
        Base::Mean,
        Task::Regression,
        Some(("poisson_regression_param", &[("max_delta_step", "0.7")])),
    ),
    objective("binary:logistic", LOGISTIC, Base::Probability, Task::Binary, Some(REGRESSION)),
    objective("binary:logitraw", Link::Identity, Base::Margin, Task::Binary, Some(REGRESSION)),
    objective("binary:hinge", Link::Hinge, Base::Margin, Task::Binary, None),
    objective("multi:softprob", Link::Softmax, Base::Margin, Task::Multiclass, Some(CLASSES)),
    objective("multi:softmax", Link::Softmax, Base::Margin, Task::Multiclass, Some(CLASSES)),
    objective("rank:ndcg", Link::Identity, Base::Margin, Task::Ranking, Some(RANKING)),
    objective("rank:map", Link::Identity, Base::Margin, Task::Ranking, Some(RANKING)),
    objective("rank:pairwise", Link::Identity, Base::Margin, Task::Ranking, Some(RANKING)),
    objective("survival:cox", Link::Exp, Base::Mean, Task::Regression, None),
    objective(
        "survival:aft",
        Link::Exp,
        Base::Mean,
        Task::Regression,
        Some(("aft_loss_param", &[("aft_loss_distribution", "normal"), ("aft_loss_distribution_scale", "1")])),
    ),
];

/// The objective of this name.
pub(crate) fn find(name: &str) -> Option<&'static Objective> {
    OBJECTIVES.iter().find(|objective| objective.name == name)
}
