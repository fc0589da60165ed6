//! Operators between the trees and a graph's outputs.

use std::rc::Rc;

use super::{
    budget::Budget,
    constant::{Constant, place},
    graph::Value,
    operators::{Operation, all_scores, cast_to, integers, labels, precision, shape},
    scores::Scores,
};
use crate::{Error, Result, ensemble::Link};

/// The value that a node makes of scores.
pub(super) fn apply(budget: &Budget, operation: &Operation<'_>, mut inputs: Vec<Value>) -> Result<Value> {
    budget.spend(inputs.iter().map(weight).sum())?;
    if let (Some(Value::Chosen(_, _)), "Identity" | "Reshape" | "Flatten" | "Squeeze") = (inputs.first(), operation.op)
    {
        return Ok(inputs.swap_remove(0));
    }
    for input in &mut inputs {
        if let Value::Chosen(scores, columns) = input {
            *input = Value::Scores(Rc::new(Scores::clone(scores).select(columns, operation.op, budget)?));
        }
    }
    let op = operation.op;
    match &inputs[..] {
        [Value::Above(scores), Value::Constant(yes), Value::Constant(no)] if op == "Where" => {
            if yes.to_numbers().is_some_and(|yes| yes == [1.0]) && no.to_numbers().is_some_and(|no| no == [0.0]) {
                return scores_value(Scores::clone(scores).link(Link::Hinge, op)?);
            }
            Err(operation.unsupported("of other numbers than 1 and 0"))
        }
        all @ [Value::Stack(_), ..] if op == "Concat" => several(operation, all, budget),
        [Value::Stack(stack), rest @ ..] => {
            let rows = integers(operation, rest.first(), "axes")?;
            if rows.as_deref() != Some(&[0]) || operation.attributes.int("keepdims")? != Some(0) {
                return Err(operation.unsupported("of several trees' answers on another axis than their own"));
            }
            match op {
                "ReduceMean" => scores_value(Scores::mean(stack.to_vec(), op, budget)?),
                "ReduceSum" => scores_value(Scores::sum(stack.to_vec(), op, budget)?),
                _ => Err(operation.unsupported("of several trees' answers")),
            }
        }
        [Value::Scores(scores), bounds @ ..] if (operation.domain, op) == ("", "Slice") => {
            slice(operation, scores, bounds)
        }
        [Value::Scores(scores)] => one(operation, scores, budget),
        [Value::Scores(scores), Value::Constant(constant)] => with_constant(operation, scores, constant, false),
        [Value::Constant(constant), Value::Scores(scores)] => with_constant(operation, scores, constant, true),
        all => several(operation, all, budget),
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Constant(constant) => constant.len() + 1,
        Value::Stack(stack) => stack.len() + 1,
        _ => 1,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "closes every arm of the matches")]
fn scores_value(scores: Scores) -> Result<Value> {
    Ok(Value::Scores(Rc::new(scores)))
}

/// Scores alone.
fn one(operation: &Operation<'_>, scores: &Rc<Scores>, budget: &Budget) -> Result<Value> {
    let own = || Scores::clone(scores);
    let op = operation.op;
    match (operation.domain, op) {
        ("", "Identity") => Ok(Value::Scores(Rc::clone(scores))),
        ("", "Cast") => match precision(cast_to(operation)?) {
            Some(precision) => scores_value(own().cast(precision)),
            None => Err(operation.unsupported("of trees' answers to what is no floating-point number")),
        },
        ("", "Flatten") if operation.axis(1)? == 1 => Ok(Value::Scores(Rc::clone(scores))),
        ("", "Squeeze") if scores.columns() == 1 && matches!(operation.attributes.ints("axes")?, [1 | -1]) => {
            Ok(Value::Scores(Rc::clone(scores)))
        }
        ("", "Sum" | "Concat") => several(operation, &[Value::Scores(Rc::clone(scores))], budget),
        ("", "Sigmoid") => scores_value(own().link(Link::Logistic { alpha: 1.0 }, op)?),
        ("", "Exp") => scores_value(own().link(Link::Exp, op)?),
        ("", "Neg") => scores_value(own().multiply(-1.0, op)?),
        ("", "Softplus") => scores_value(own().link(Link::Softplus, op)?),
        // The default axis is the last or, before version 13, the second: the same in two dimensions.
        ("", "Softmax") if matches!(operation.axis(-1)?, 1 | -1) => scores_value(own().link(Link::Softmax, op)?),
        ("", "ArgMax") => Ok(Value::Label),
        ("ai.onnx.ml", "ZipMap") => {
            let classes = labels(operation.attributes)?.len();
            if classes == scores.columns() {
                return Ok(Value::Scores(Rc::clone(scores)));
            }
            Err(Error::content(format!("{} class labels", scores.columns()), classes))
        }
        ("ai.onnx.ml", "Normalizer") if operation.attributes.text("norm")?.as_deref() == Some("L1") => {
            scores_value(own().normalize(op)?)
        }
        _ => Err(operation.unsupported("behind the trees")),
    }
}

/// Scores and a constant; `swapped` when the constant comes first.
fn with_constant(operation: &Operation<'_>, scores: &Rc<Scores>, constant: &Constant, swapped: bool) -> Result<Value> {
    let own = || Scores::clone(scores);
    let op = operation.op;
    let terms = constant.to_numbers().unwrap_or_default();
    let only = terms.first().copied().filter(|first| terms.iter().all(|term| term == first));
    let factor = || only.ok_or_else(|| operation.unsupported("of trees' answers by a factor of each column"));
    // A constant that is longer than a row would make several rows of one.
    let rows = constant.dims.iter().rev().skip(1).all(|dim| *dim == 1)
        && (terms.len() == 1 || terms.len() == scores.columns());
    match (operation.domain, op) {
        ("", "Mul") if rows => scores_value(own().multiply(factor()?, op)?),
        ("", "Div") if rows && !swapped => scores_value(own().divide(factor()?, op)?),
        ("", "Add" | "Sum") if rows => scores_value(own().add(&terms, op)?),
        ("", "Sub") if rows && swapped => scores_value(own().multiply(-1.0, op)?.add(&terms, op)?),
        ("", "Sub") if rows => {
            let terms: Vec<f64> = terms.iter().map(|term| -term).collect();
            scores_value(own().add(&terms, op)?)
        }
        ("", "Greater") if !swapped && only == Some(0.0) => Ok(Value::Above(Rc::clone(scores))),
        ("", "Gather") if matches!(operation.axis(0)?, 1 | -1) => choose(operation, scores, constant),
        ("ai.onnx.ml", "ArrayFeatureExtractor") if !swapped => choose(operation, scores, constant),
        ("", "Squeeze") if scores.columns() == 1 && matches!(terms[..], [1.0 | -1.0]) => {
            Ok(Value::Scores(Rc::clone(scores)))
        }
        ("", "Reshape") if !swapped => {
            let fits = |width: i64| usize::try_from(width) == Ok(scores.columns());
            match shape(Some(&Value::Constant(Rc::new(constant.clone()))))?[..] {
                [-1 | 0, width] if fits(width) => Ok(Value::Scores(Rc::clone(scores))),
                [0, -1] => Ok(Value::Scores(Rc::clone(scores))),
                [-1] if scores.columns() == 1 => Ok(Value::Scores(Rc::clone(scores))),
                [1, -1, width] if fits(width) => Ok(Value::Stack(Rc::new(vec![own()]))),
                ref other => Err(operation.unsupported(&format!("of trees' answers to {other:?}"))),
            }
        }
        ("", "ReduceSum" | "ReduceMean") if scores.columns() == 1 && terms == [1.0] => {
            Ok(Value::Scores(Rc::clone(scores)))
        }
        _ => Err(operation.unsupported("behind the trees")),
    }
}

fn choose(operation: &Operation<'_>, scores: &Rc<Scores>, constant: &Constant) -> Result<Value> {
    let Some(columns) = constant.to_integers() else {
        return Err(Error::content(
            format!("integers as indices of {}", operation.op),
            format!("{:?}", constant.element),
        ));
    };
    let count = scores.columns();
    let column =
        |index: &i64| place(*index, count).ok_or_else(|| Error::content(format!("a column below {count}"), index));
    Ok(Value::Chosen(Rc::clone(scores), Rc::new(columns.iter().map(column).collect::<Result<_>>()?)))
}

/// ONNX `Slice` of columns, whose bounds are inputs since version 10 and attributes before.
fn slice(operation: &Operation<'_>, scores: &Rc<Scores>, bounds: &[Value]) -> Result<Value> {
    let part = |place: usize, name: &str| integers(operation, bounds.get(place), name);
    let parts = (part(0, "starts")?, part(1, "ends")?, part(2, "axes")?, part(3, "steps")?);
    let (Some([start]), Some([end]), Some([1 | -1]), None | Some([1])) =
        (parts.0.as_deref(), parts.1.as_deref(), parts.2.as_deref(), parts.3.as_deref())
    else {
        return Err(operation.unsupported("of trees' answers on other axes than the columns"));
    };
    let count = scores.columns();
    // Bounds beyond the columns are those of the columns.
    let bound = |bound: i64| match usize::try_from(bound) {
        Ok(bound) => bound.min(count),
        Err(_) => count.saturating_sub(usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    Ok(Value::Chosen(Rc::clone(scores), Rc::new((bound(*start)..bound(*end)).collect())))
}

/// Several scores.
fn several(operation: &Operation<'_>, inputs: &[Value], budget: &Budget) -> Result<Value> {
    let op = operation.op;
    match (operation.domain, op) {
        ("", "Add" | "Sum") => scores_value(Scores::sum(all_scores(operation, inputs)?, op, budget)?),
        ("", "Mean") => scores_value(Scores::mean(all_scores(operation, inputs)?, op, budget)?),
        ("", "Concat") if operation.axis(1)? == 0 => {
            let mut all = Vec::new();
            for input in inputs {
                match input {
                    Value::Stack(stack) => {
                        budget.spend(stack.len())?;
                        all.extend(stack.iter().cloned());
                    }
                    _ => return Err(operation.unsupported("of trees' answers on the axis of the rows")),
                }
            }
            Ok(Value::Stack(Rc::new(all)))
        }
        ("", "Concat") if matches!(operation.axis(1)?, 1 | -1) => {
            scores_value(Scores::beside(all_scores(operation, inputs)?, op, budget)?)
        }
        _ => Err(operation.unsupported("behind the trees")),
    }
}
