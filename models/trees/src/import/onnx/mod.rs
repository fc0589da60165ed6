//! ONNX models with the tree operators of `ai.onnx.ml`, as skl2onnx, onnxmltools and `CatBoost` write them: the operators
//! themselves (`TreeEnsembleRegressor`, `TreeEnsembleClassifier`, and `TreeEnsemble` of version 5), what prepares columns
//! before them, and what turns their sums into answers behind them. Every other operator is refused by its name.
//!
//! The graph is followed from its inputs on; each tensor is a constant, columns of a row after some [steps](crate::ensemble::Step),
//! or scores of trees. Of the outputs, the one with scores is the answer; labels follow from it and are left out.
//!
//! Where the standard leaves something open, ONNX Runtime 1.32 is followed. Its own answers differ from these within the
//! rounding of f32: it adds trees in an order that depends on its threads, and turns double sums into floats.

mod answer;
mod budget;
mod constant;
mod encode;
mod forest;
mod graph;
mod inputs;
mod nodes3;
mod nodes5;
mod operators;
mod outputs;
mod proto;
mod scores;
mod table;
mod unfold;

use std::{collections::BTreeMap, fmt::Display};

use prost::bytes::Bytes;

use self::{
    budget::Budget,
    proto::{Entry, Model, OperatorSet, decode},
};
use super::Format;
use crate::{
    Ensemble, Error, Result,
    ensemble::{CategoryRule, Origin, Rules},
};

/// Reads a `ModelProto`.
///
/// # Errors
/// [`Error::Content`] for what is no such model, or contradicts itself, naming the node of the graph. [`Error::Unsupported`]
/// for operators that trees do not need, by name.
pub fn read(bytes: &[u8]) -> Result<Ensemble> {
    let budget = Budget::for_file(bytes.len());
    let model: Model = decode(Bytes::copy_from_slice(bytes), "a ModelProto")?;
    if model.graph.is_empty() {
        return Err(Error::content("a ModelProto with a graph", "none"));
    }
    let origin = origin(&model)?;
    let graph::Read { columns, features, scores } = graph::read(model.graph, &budget)?;
    let (trees, output, compare, sum) = scores.finish(&budget)?;
    let rules = Rules { compare, sum, category: CategoryRule::Exact };
    let ensemble = Ensemble { columns, features, rules, trees, output, origin };
    ensemble.check()?;
    Ok(ensemble)
}

/// Entries of a list that is kept whole are few.
const MOST_ENTRIES: usize = 1024;

fn origin(model: &Model) -> Result<Origin> {
    let Model { ir_version, producer_name, producer_version, graph: _, opset_import, metadata_props } = model;
    if opset_import.len().max(metadata_props.len()) > MOST_ENTRIES {
        return Err(Error::content(format!("at most {MOST_ENTRIES} operator sets and metadata_props"), "more"));
    }
    let mut version = String::new();
    let mut parameters = BTreeMap::new();
    for set in opset_import {
        let OperatorSet { domain, version: number } = decode(set.clone(), "an OperatorSetIdProto")?;
        if domain == "ai.onnx.ml" {
            version = format!("{domain} {number}");
        }
    }
    for entry in metadata_props {
        let Entry { key, value } = decode(entry.clone(), "a StringStringEntryProto")?;
        parameters.insert(key, value);
    }
    let own = [("producer_name", producer_name.clone()), ("producer_version", producer_version.trim().to_owned())];
    let own = own.into_iter().chain([("ir_version", ir_version.to_string())]);
    parameters.extend(own.filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.to_owned(), value)));
    Ok(Origin { format: Format::Onnx.name().to_owned(), version, objective: String::new(), parameters })
}

/// Names the place in the file, in front of what was expected there.
fn within(error: Error, place: impl Display) -> Error {
    match error {
        Error::Content { expected, got } => Error::content(format!("{place}, {expected}"), got),
        Error::Unsupported { what, instead } => Error::Unsupported { what, instead },
    }
}
