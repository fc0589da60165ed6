//! Operators between a graph's inputs and its trees.

use super::{
    constant::{Constant, Element},
    graph::{Value, Walk},
    operators::{Operation, cast_to, integers, shape, tables},
    table::{Keys, Lane, Table},
};
use crate::{Error, Result, ensemble::Step};

/// The table that a node makes of tables.
pub(super) fn apply(walk: &mut Walk<'_>, operation: &Operation<'_>, inputs: &[Value]) -> Result<Table> {
    let budget = walk.budget;
    budget.spend(inputs.iter().map(weight).sum())?;
    let first = || match inputs.first() {
        Some(Value::Table(table)) => Ok(Table::clone(table)),
        _ => Err(operation.unsupported("of constants and columns")),
    };
    let attributes = operation.attributes;
    match (operation.domain, operation.op) {
        ("", "Identity") => first(),
        ("", "Cast") => first()?.cast(cast_to(operation)?, budget),
        ("", "Concat") => Table::beside(tables(operation, inputs)?, operation.axis(1)?, budget),
        ("ai.onnx.ml", "FeatureVectorizer") => {
            let parts = tables(operation, inputs)?.into_iter().map(|table| table.cast(Element::Single, budget));
            Table::beside(parts.collect::<Result<_>>()?, 1, budget)
        }
        ("", "Gather") if matches!(operation.axis(0)?, 1 | -1) => first()?.select(&places(operation, inputs)?, budget),
        ("ai.onnx.ml", "ArrayFeatureExtractor") => first()?.select(&places(operation, inputs)?, budget),
        ("", "Reshape") => reshape(first()?, &shape(inputs.get(1))?),
        ("", "Flatten") if operation.axis(1)? == 1 => {
            let table = first()?;
            let dims = vec![table.lanes.len()];
            table.reshape(dims)
        }
        ("", "Squeeze" | "Unsqueeze") => {
            // Axes of length 1 come and go without a change of order; only the last one of a table must stay.
            let axes = integers(operation, inputs.get(1), "axes")?.unwrap_or_default();
            let table = first()?;
            let dims = match (operation.op, &table.dims[..], &axes[..]) {
                ("Squeeze", [1], [1 | -1]) => Vec::new(),
                ("Squeeze", [1, width], [1]) => vec![*width],
                ("Unsqueeze", [], [1 | -1]) => vec![1],
                _ => return Err(operation.unsupported("of these axes")),
            };
            table.reshape(dims)
        }
        ("", "Add" | "Sub" | "Mul" | "Div") => arithmetic(walk, operation, inputs),
        ("ai.onnx.ml", "Scaler") => {
            let table = numbers(walk, operation, first()?)?;
            let (offset, scale) = (attributes.floats("offset")?, attributes.floats("scale")?);
            let width = table.dims.last().copied().unwrap_or(1);
            for (name, list) in [("offset", offset), ("scale", scale)] {
                one_or_all(name, list.len(), width)?;
            }
            let at = |list: &[f32], index: usize| if let [only] = list { *only } else { list[index] };
            table.each(Element::Single, budget, |index| Step::Scale {
                offset: at(offset, index),
                scale: at(scale, index),
            })
        }
        ("ai.onnx.ml", "Imputer") => impute(walk, operation, first()?),
        ("ai.onnx.ml", "Binarizer") => {
            let table = numbers(walk, operation, first()?)?;
            let threshold = attributes.float("threshold")?.unwrap_or(0.0);
            let element = table.element;
            table.each(element, budget, |_| Step::Binarize(f64::from(threshold)))
        }
        ("ai.onnx.ml", "OneHotEncoder") => one_hot(walk, operation, &first()?),
        ("ai.onnx.ml", "LabelEncoder" | "CategoryMapper") => super::encode::encode(walk, operation, first()?),
        _ => Err(operation.unsupported("before the trees")),
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Table(table) => table.lanes.len() + 1,
        Value::Constant(constant) => constant.len() + 1,
        _ => 1,
    }
}

/// Notes that a table's numbers are used.
fn numbers(walk: &mut Walk<'_>, operation: &Operation<'_>, table: Table) -> Result<Table> {
    if table.element == Element::Text {
        return Err(Error::content(format!("numbers for {}", operation.op), "strings"));
    }
    walk.columns.plain(&table, operation.op)?;
    Ok(table)
}

fn one_or_all(name: &str, got: usize, width: usize) -> Result<()> {
    if got == 1 || got == width { Ok(()) } else { Err(Error::content(format!("1 or {width} values in `{name}`"), got)) }
}

fn places(operation: &Operation<'_>, inputs: &[Value]) -> Result<Vec<i64>> {
    match inputs.get(1) {
        Some(Value::Constant(constant)) => match constant.to_integers() {
            Some(places) => Ok(places.to_vec()),
            None => Err(Error::content("integers as indices", format!("{:?}", constant.element))),
        },
        _ => Err(operation.unsupported("with indices that are computed")),
    }
}

/// Rows stay on the first axis, which is 0, -1, or given by what remains.
fn reshape(table: Table, shape: &[i64]) -> Result<Table> {
    let refuse = || Error::unsupported(format!("Reshape of columns to {shape:?}"), "keep the rows on the first axis");
    let [rows, axes @ ..] = shape else { return Err(refuse()) };
    let count = table.lanes.len();
    let dims = match axes {
        // The rows fill the first axis when the others are as long as a row.
        [-1] if *rows == 0 => vec![count],
        axes => axes.iter().map(|axis| usize::try_from(*axis).map_err(|_| refuse())).collect::<Result<Vec<_>>>()?,
    };
    if *rows > 0 { Err(refuse()) } else { table.reshape(dims) }
}

/// A table and a constant, added, subtracted, multiplied or divided, as a [`Step::Scale`] that rounds as the operator does.
fn arithmetic(walk: &mut Walk<'_>, operation: &Operation<'_>, inputs: &[Value]) -> Result<Table> {
    let (table, constant, swapped) = match inputs {
        [Value::Table(table), Value::Constant(constant)] => (table, constant, false),
        [Value::Constant(constant), Value::Table(table)] => (table, constant, true),
        _ => return Err(operation.unsupported("of two columns")),
    };
    let table = numbers(walk, operation, Table::clone(table))?;
    if table.element != Element::Single || (swapped && matches!(operation.op, "Sub" | "Div")) {
        return Err(operation.unsupported("of columns that are not float, or below a constant"));
    }
    let width = table.dims.last().copied().unwrap_or(1);
    let terms = row(constant, width)?;
    let step = |term: f64| {
        let term = term as f32;
        match operation.op {
            "Add" => Some(Step::Scale { offset: -term, scale: 1.0 }),
            "Sub" => Some(Step::Scale { offset: term, scale: 1.0 }),
            "Mul" => Some(Step::Scale { offset: 0.0, scale: term }),
            // A power of two: its reciprocal is exact, and so is the product.
            _ if term.is_normal() && (1.0 / term).is_normal() && term.to_bits() << 9 == 0 => {
                Some(Step::Scale { offset: 0.0, scale: 1.0 / term })
            }
            _ => None,
        }
    };
    let steps: Option<Vec<Step>> = terms.iter().map(|term| step(*term)).collect();
    let Some(steps) = steps else {
        return Err(operation.unsupported("of columns by other numbers than powers of two"));
    };
    table.each(Element::Single, walk.budget, |index| if let [only] = steps[..] { only } else { steps[index] })
}

/// A constant as one number, or one a column.
fn row(constant: &Constant, width: usize) -> Result<Vec<f64>> {
    let rows = constant.dims.iter().rev().skip(1).all(|dim| *dim == 1);
    match constant.to_numbers() {
        Some(terms) if rows && (terms.len() == 1 || terms.len() == width) => Ok(terms),
        _ => Err(Error::content(format!("one number or {width}, one a column"), format!("axes {:?}", constant.dims))),
    }
}

fn impute(walk: &mut Walk<'_>, operation: &Operation<'_>, table: Table) -> Result<Table> {
    let table = numbers(walk, operation, table)?;
    let attributes = operation.attributes;
    let integers = table.element == Element::Integer;
    let (name, by, replaced) = if integers {
        let by = attributes.ints("imputed_value_int64s")?.iter().map(|value| *value as f64).collect();
        ("imputed_value_int64s", by, attributes.int("replaced_value_int64")?.unwrap_or(0) as f64)
    } else {
        let by: Vec<f64> = attributes.floats("imputed_value_floats")?.iter().map(|value| f64::from(*value)).collect();
        ("imputed_value_floats", by, f64::from(attributes.float("replaced_value_float")?.unwrap_or(0.0)))
    };
    one_or_all(name, by.len(), table.dims.last().copied().unwrap_or(1))?;
    let element = table.element;
    table.each(element, walk.budget, |index| {
        let by = if let [only] = by[..] { only } else { by[index] };
        if replaced.is_nan() { Step::Impute(by) } else { Step::Replace { value: replaced, by } }
    })
}

fn one_hot(walk: &mut Walk<'_>, operation: &Operation<'_>, table: &Table) -> Result<Table> {
    let attributes = operation.attributes;
    let texts = attributes.texts("cats_strings")?;
    let integers = attributes.ints("cats_int64s")?;
    if texts.is_empty() == integers.is_empty() {
        return Err(Error::content("`cats_strings` or `cats_int64s`", "both or none"));
    }
    let categories = texts.len() + integers.len();
    walk.budget.spend(table.lanes.len().saturating_mul(categories))?;
    let mut lanes = Vec::with_capacity(table.lanes.len() * categories);
    for lane in &table.lanes {
        if table.element == Element::Text {
            if texts.is_empty() {
                return Err(Error::content("`cats_strings` for strings", "`cats_int64s`"));
            }
            let keys = Keys::Texts(texts.clone());
            for code in walk.columns.codes(lane, &keys, false, operation.op)? {
                let steps = vec![Step::Indicator(f64::from(code))];
                lanes.push(Lane { column: lane.column, steps, coded: true });
            }
        } else {
            if integers.is_empty() {
                return Err(Error::content("`cats_int64s` for numbers", "`cats_strings`"));
            }
            // ONNX Runtime takes the whole part of a number.
            let mut lane = lane.clone();
            if table.element != Element::Integer && table.element != Element::Boolean {
                lane.push(table.element, Step::Truncate);
            }
            for integer in integers {
                let mut lane = lane.clone();
                lane.push(Element::Integer, Step::Indicator(*integer as f64));
                lanes.push(lane);
            }
        }
    }
    let made =
        Table { element: Element::Single, lanes, dims: table.dims.iter().copied().chain([categories]).collect() };
    if table.element == Element::Text { Ok(made) } else { walk.columns.plain(&made, operation.op).map(|()| made) }
}
