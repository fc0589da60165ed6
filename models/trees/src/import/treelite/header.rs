//! What stands before the trees.

use serde_json::{Map, Value};

use super::{
    bytes::{Array, Cursor},
    layout::Layout,
};
use crate::{Error, Result, ensemble::Precision, import::unseen};

/// What stands before the trees, as the file has it.
pub(super) struct Header<'a> {
    /// Version of treelite that wrote the file.
    pub(super) version: String,
    /// Type of thresholds and leaves.
    pub(super) precision: Precision,
    pub(super) trees: usize,
    pub(super) features: usize,
    pub(super) task: TaskType,
    pub(super) average: bool,
    pub(super) layout: Layout,
    /// By tree; -1 for all.
    pub(super) target_id: Array<'a, i32>,
    /// By tree; -1 for all.
    pub(super) class_id: Array<'a, i32>,
    pub(super) postprocessor: &'a str,
    pub(super) sigmoid_alpha: f32,
    pub(super) ratio_c: f32,
    /// By target and class, in rows of [`Layout::most`].
    pub(super) base_scores: Array<'a, f64>,
    pub(super) attributes: Map<String, Value>,
}

/// treelite's `TaskType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskType {
    BinaryClf,
    Regressor,
    MultiClf,
    LearningToRank,
    IsolationForest,
}

impl TaskType {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BinaryClf => "kBinaryClf",
            Self::Regressor => "kRegressor",
            Self::MultiClf => "kMultiClf",
            Self::LearningToRank => "kLearningToRank",
            Self::IsolationForest => "kIsolationForest",
        }
    }
}

impl<'a> Header<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        let size = cursor.left();
        let version = version(cursor)?;
        let precision = precision(cursor)?;
        let trees = count("num_tree", cursor.scalar::<u64>("num_tree")?)?;
        let features = count("num_feature", cursor.scalar::<i32>("num_feature")?)?;
        let most = unseen(size);
        if features > most {
            return Err(Error::content(format!("at most {most} as `num_feature` in a file of {size} bytes"), features));
        }
        let task = task_type(cursor.scalar("task_type")?)?;
        let average = cursor.flag("average_tree_output")?;
        let targets = count("num_target", cursor.scalar::<i32>("num_target")?)?;
        let classes = cursor.array::<i32>("num_class")?.counted(targets)?;
        let classes = (0..targets).map(|target| count("num_class", classes.at(target)?)).collect::<Result<Vec<_>>>()?;
        let shape = cursor.array::<i32>("leaf_vector_shape")?.counted(2)?;
        let shape = [count("leaf_vector_shape", shape.at(0)?)?, count("leaf_vector_shape", shape.at(1)?)?];
        let target_id = cursor.array("target_id")?.counted(trees)?;
        let class_id = cursor.array("class_id")?.counted(trees)?;
        let postprocessor = cursor.string("postprocessor")?;
        let sigmoid_alpha = cursor.scalar("sigmoid_alpha")?;
        let ratio_c = cursor.scalar("ratio_c")?;
        let base_scores = cursor.array("base_scores")?;
        let layout = Layout::new(classes, shape, base_scores.len())?;
        let attributes = attributes(cursor.string("attributes")?)?;
        cursor.skip_optional("num_opt_field_per_model")?;
        Ok(Self {
            version,
            precision,
            trees,
            features,
            task,
            average,
            layout,
            target_id,
            class_id,
            postprocessor,
            sigmoid_alpha,
            ratio_c,
            base_scores,
            attributes,
        })
    }
}

/// A count that is not negative, and small enough to count with.
fn count<T: Copy + std::fmt::Display>(field: &str, number: T) -> Result<usize>
where
    usize: TryFrom<T>,
{
    usize::try_from(number).map_err(|_| Error::content(format!("a count in `{field}`"), number))
}

fn version(cursor: &mut Cursor<'_>) -> Result<String> {
    let major = cursor.scalar::<i32>("major_ver")?;
    let minor = cursor.scalar::<i32>("minor_ver")?;
    let patch = cursor.scalar::<i32>("patch_ver")?;
    match major {
        4 => Ok(format!("{major}.{minor}.{patch}")),
        1..=3 => Err(Error::unsupported(
            format!("a checkpoint of treelite {major}.{minor}.{patch}"),
            "import the model into treelite 4 anew (it also loads checkpoints of 3.9), and serialize it there",
        )),
        5.. => Err(Error::unsupported(
            format!("a checkpoint of treelite {major}.{minor}.{patch}"),
            "serialize the model with treelite 4",
        )),
        ..=0 => Err(Error::content("a treelite checkpoint, which begins with version 4", major)),
    }
}

fn precision(cursor: &mut Cursor<'_>) -> Result<Precision> {
    let threshold = cursor.scalar::<u8>("threshold_type")?;
    let leaf = cursor.scalar::<u8>("leaf_output_type")?;
    match (threshold, leaf) {
        (2, 2) => Ok(Precision::F32),
        (3, 3) => Ok(Precision::F64),
        _ => Err(Error::content(
            "2 (float32) or 3 (float64) as both `threshold_type` and `leaf_output_type`",
            format!("{threshold} and {leaf}"),
        )),
    }
}

fn task_type(byte: u8) -> Result<TaskType> {
    match byte {
        0 => Ok(TaskType::BinaryClf),
        1 => Ok(TaskType::Regressor),
        2 => Ok(TaskType::MultiClf),
        3 => Ok(TaskType::LearningToRank),
        4 => Ok(TaskType::IsolationForest),
        other => Err(Error::content("0 to 4 as `task_type`", other)),
    }
}

fn attributes(text: &str) -> Result<Map<String, Value>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|error| Error::content("a JSON object in `attributes`", error))
}
