//! The operators that are followed, by domain and name.

use std::rc::Rc;

use super::{
    constant::{Constant, Element},
    forest::Features,
    graph::{Value, Walk},
    inputs, nodes3, nodes5, outputs,
    proto::Attributes,
    scores::Scores,
    table::Table,
};
use crate::{Error, Result, ensemble::Precision};

/// A node without its inputs.
pub(super) struct Operation<'a> {
    /// Empty for ONNX's own.
    pub(super) domain: &'a str,
    pub(super) op: &'a str,
    pub(super) attributes: &'a Attributes,
}

impl Operation<'_> {
    /// That this is not followed, by name.
    pub(super) fn unsupported(&self, of: &str) -> Error {
        let dot = if self.domain.is_empty() { "" } else { "." };
        Error::unsupported(
            format!("{}{dot}{} {of}", self.domain, self.op),
            "export the trees with fewer operators around them, or import the model in its own tool's format",
        )
    }

    /// `axis`, or a default.
    pub(super) fn axis(&self, otherwise: i64) -> Result<i64> {
        Ok(self.attributes.int("axis")?.unwrap_or(otherwise))
    }
}

/// What a node computes.
pub(super) fn apply(walk: &mut Walk<'_>, operation: &Operation<'_>, inputs: Vec<Value>) -> Result<Vec<Value>> {
    match (operation.domain, operation.op) {
        ("ai.onnx.ml", "TreeEnsembleRegressor" | "TreeEnsembleClassifier" | "TreeEnsemble") => {
            trees(walk, operation, &inputs)
        }
        ("", "Constant") => Ok(vec![Value::Constant(Rc::new(constant(operation)?))]),
        _ => {
            let kind = inputs.iter().map(rank).max().unwrap_or(0);
            match kind {
                0 => Err(operation.unsupported("of constants")),
                1 => inputs::apply(walk, operation, &inputs).map(|table| vec![Value::Table(Rc::new(table))]),
                _ => outputs::apply(walk.budget, operation, inputs).map(|value| vec![value]),
            }
        }
    }
}

/// How far down the graph a value is: constants, columns, answers.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Constant(_) | Value::Nothing => 0,
        Value::Table(_) => 1,
        Value::Scores(_)
        | Value::Chosen(_, _)
        | Value::Stack(_)
        | Value::Above(_)
        | Value::Label
        | Value::Refused(_) => 2,
    }
}

fn trees(walk: &mut Walk<'_>, operation: &Operation<'_>, inputs: &[Value]) -> Result<Vec<Value>> {
    let [Value::Table(table)] = inputs else {
        return Err(operation.unsupported("of what is not columns"));
    };
    let [count] = table.dims[..] else {
        return Err(Error::unsupported("trees of a tensor that is no table of rows and columns", "keep two axes"));
    };
    if table.element == Element::Text {
        return Err(Error::content("numbers in the table that trees ask", "strings"));
    }
    walk.columns.plain(table, operation.op)?;
    let double = table.element == Element::Double;
    let features = Features { first: walk.features(table)?, count };
    let Operation { domain: _, op, attributes } = operation;
    match *op {
        "TreeEnsembleClassifier" => {
            let classes = labels(attributes)?;
            let forest = nodes3::read(attributes, Some(classes.len()), double, features, walk.budget)?;
            let scores = forest.classification(classes, walk.budget)?;
            Ok(vec![Value::Label, Value::Scores(Rc::new(scores))])
        }
        "TreeEnsembleRegressor" => {
            let forest = nodes3::read(attributes, None, double, features, walk.budget)?;
            Ok(vec![Value::Scores(Rc::new(forest.regression(walk.budget)?))])
        }
        _ => {
            let forest = nodes5::read(attributes, double, features, walk.budget)?;
            Ok(vec![Value::Scores(Rc::new(forest.regression(walk.budget)?))])
        }
    }
}

/// `classlabels_int64s` or `classlabels_strings`.
pub(super) fn labels(attributes: &Attributes) -> Result<Vec<String>> {
    let texts = attributes.texts("classlabels_strings")?;
    let integers = attributes.ints("classlabels_int64s")?;
    match (texts.is_empty(), integers.is_empty()) {
        (false, false) => Err(Error::content("`classlabels_int64s` or `classlabels_strings`", "both")),
        (false, true) => Ok(texts),
        (true, _) => Ok(integers.iter().map(ToString::to_string).collect()),
    }
}

fn constant(operation: &Operation<'_>) -> Result<Constant> {
    let attributes = operation.attributes;
    if let Some(tensor) = attributes.tensor("value")? {
        return Constant::read(tensor);
    }
    let one = |constant: Constant| Constant { dims: Vec::new(), ..constant };
    if let Some(value) = attributes.float("value_float")? {
        return Ok(one(Constant::numbers(vec![f64::from(value)], Element::Single)));
    }
    if let Some(value) = attributes.int("value_int")? {
        return Ok(one(Constant::integers(vec![value])));
    }
    if attributes.has("value_floats") {
        let values = attributes.floats("value_floats")?;
        return Ok(Constant::numbers(values.iter().map(|value| f64::from(*value)).collect(), Element::Single));
    }
    if attributes.has("value_ints") {
        return Ok(Constant::integers(attributes.ints("value_ints")?.to_vec()));
    }
    Err(operation.unsupported("of another attribute than value, value_float(s) or value_int(s)"))
}

/// The type that a `Cast` casts to.
pub(super) fn cast_to(operation: &Operation<'_>) -> Result<Element> {
    match operation.attributes.int("to")? {
        Some(to) => Element::of(to),
        None => Err(Error::content("attribute `to`", "none")),
    }
}

/// The axes behind the rows that `Reshape` asks for: those behind a first one of -1 or 0.
pub(super) fn shape(value: Option<&Value>) -> Result<Vec<i64>> {
    match value {
        Some(Value::Constant(shape)) => match shape.to_integers() {
            Some(shape) => Ok(shape.to_vec()),
            None => Err(Error::content("a shape of integers", format!("{:?}", shape.element))),
        },
        _ => Err(Error::unsupported("Reshape to a shape that is computed", "export with constant shapes")),
    }
}

/// An integer list that newer operators take as an input and older ones as an attribute.
pub(super) fn integers(operation: &Operation<'_>, input: Option<&Value>, name: &str) -> Result<Option<Vec<i64>>> {
    if operation.attributes.has(name) {
        return Ok(Some(operation.attributes.ints(name)?.to_vec()));
    }
    match input {
        None | Some(Value::Nothing) => Ok(None),
        Some(Value::Constant(constant)) => match constant.to_integers() {
            Some(list) => Ok(Some(list.to_vec())),
            None => Err(Error::content(format!("integers for `{name}`"), format!("{:?}", constant.element))),
        },
        Some(_) => Err(operation.unsupported(&format!("with `{name}` that is computed"))),
    }
}

/// The precision of a floating-point type.
pub(super) fn precision(element: Element) -> Option<Precision> {
    match element {
        Element::Single => Some(Precision::F32),
        Element::Double => Some(Precision::F64),
        Element::Integer | Element::Boolean | Element::Text => None,
    }
}

/// A table out of several values, all of which must be tables.
pub(super) fn tables(operation: &Operation<'_>, inputs: &[Value]) -> Result<Vec<Table>> {
    let table = |value: &Value| match value {
        Value::Table(table) => Ok(Table::clone(table)),
        _ => Err(operation.unsupported("of columns and constants")),
    };
    inputs.iter().map(table).collect()
}

/// Scores out of several values, all of which must be scores.
pub(super) fn all_scores(operation: &Operation<'_>, inputs: &[Value]) -> Result<Vec<Scores>> {
    let scores = |value: &Value| match value {
        Value::Scores(scores) => Ok(Scores::clone(scores)),
        _ => Err(operation.unsupported("of trees and something else")),
    };
    inputs.iter().map(scores).collect()
}
