//! What a model was trained for, and where it comes from.

use serde_json::{Map, Value};

use crate::{
    Error, Result,
    ensemble::{Link, Origin, Task},
    import::Format,
};

/// From margins to answers as the Python package's regressors predict, and its classifiers in `predict_proba`; and what is
/// predicted with `width` margins a row. `loss` is empty for a model that does not say, such as a sum of models.
pub(super) fn link(loss: &str, width: usize) -> Result<(Link, Task)> {
    let logistic = Link::Logistic { alpha: 1.0 };
    match loss {
        ""
        | "RMSE"
        | "MAE"
        | "Quantile"
        | "MultiQuantile"
        | "LogLinQuantile"
        | "MAPE"
        | "Lq"
        | "Huber"
        | "Expectile"
        | "LogCosh"
        | "MultiRMSE"
        | "MultiRMSEWithMissingValues"
        | "Cox"
        | "SurvivalAft"
        | "PythonUserDefinedPerObject"
        | "PythonUserDefinedMultiTarget" => Ok((Link::Identity, Task::Regression)),
        "Poisson" | "Tweedie" => Ok((Link::Exp, Task::Regression)),
        "Logloss" | "CrossEntropy" | "Focal" => {
            if width == 1 {
                Ok((logistic, Task::Binary))
            } else {
                Err(Error::content(format!("one number a leaf for the loss {loss}"), width))
            }
        }
        "MultiClass" => Ok((Link::Softmax, Task::Multiclass)),
        "MultiClassOneVsAll" => Ok((logistic, Task::Multiclass)),
        // Probabilities of labels that do not exclude each other.
        "MultiLogloss" | "MultiCrossEntropy" => Ok((logistic, Task::Regression)),
        "YetiRank" | "YetiRankPairwise" | "PairLogit" | "PairLogitPairwise" | "QueryRMSE" | "QuerySoftMax"
        | "QueryCrossEntropy" | "StochasticFilter" | "StochasticRank" | "LambdaMart" | "GroupQuantile" => {
            Ok((Link::Identity, Task::Ranking))
        }
        other => Err(Error::unsupported(format!("the loss `{other}`"), "train with RMSE, Logloss or MultiClass")),
    }
}

/// The loss by its name; empty when the file has none.
pub(super) fn name(info: &Map<String, Value>) -> String {
    let found = info.get("params").and_then(|params| params.pointer("/loss_function/type"));
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Labels of the classes in the order of the margins; empty when the model has no classes.
pub(super) fn classes(info: &Map<String, Value>, task: Task, width: usize) -> Result<Vec<String>> {
    let expected = match task {
        Task::Binary => 2,
        Task::Multiclass => width,
        Task::Regression | Task::Ranking | Task::Anomaly => return Ok(Vec::new()),
    };
    let Some(Value::Array(names)) = info.get("class_params").and_then(|params| params.get("class_names")) else {
        return Ok(Vec::new());
    };
    match names.len() {
        0 => Ok(Vec::new()),
        found if found == expected => Ok(names.iter().map(text).collect()),
        found if found > expected => Err(Error::unsupported(
            format!("{} classes that no training row had (of {found} `class_names`)", found - expected),
            "train with the classes that are there",
        )),
        found => Err(Error::content(format!("{expected} `class_names`"), found)),
    }
}

/// Where the model comes from.
pub(super) fn origin(info: &Map<String, Value>, loss: String) -> Origin {
    let version = info.get("catboost_version_info").and_then(Value::as_str).unwrap_or_default();
    let tag = version.split_ascii_whitespace().find_map(|word| word.strip_prefix("tags/v"));
    let flat = info.get("params").and_then(|params| params.get("flat_params")).and_then(Value::as_object);
    Origin {
        format: Format::Catboost.name().to_owned(),
        version: tag.unwrap_or_default().to_owned(),
        objective: loss,
        parameters: flat.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect(),
    }
}

/// A string as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
