//! `LabelEncoder` and `CategoryMapper`: from categories to numbers.

use super::{
    constant::{Constant, Element, Values},
    graph::Walk,
    operators::Operation,
    table::{Keys, Lane, Table},
};
use crate::{Error, Result, ensemble::Step};

/// Columns of categories as their codes.
///
/// The values must be the codes 0, 1, 2, … in some order; that is the order of the column's categories then. A column's
/// category that is not among the keys is missing, and gets the default.
pub(super) fn encode(walk: &mut Walk<'_>, operation: &Operation<'_>, table: Table) -> Result<Table> {
    let (keys, values) = pairs(operation)?;
    let keys = in_order(operation, keys, &values)?;
    let fits = match (&keys, table.element) {
        (Keys::Texts(_), Element::Text) | (Keys::Integers(_), Element::Integer) => true,
        (Keys::Texts(_) | Keys::Integers(_), _) => false,
    };
    if !fits {
        return Err(operation.unsupported(&format!("of columns of type {:?}, or with keys of another", table.element)));
    }
    let (element, default) = default(operation, &values)?;
    let mut lanes = Vec::with_capacity(table.lanes.len());
    for lane in &table.lanes {
        walk.budget.spend(values.len())?;
        walk.columns.codes(lane, &keys, true, operation.op)?;
        lanes.push(Lane { column: lane.column, steps: vec![Step::Impute(default)], coded: true });
    }
    Ok(Table { element, lanes, dims: table.dims })
}

/// Keys and values, of whatever spelling: `keys_strings`, `keys_tensor`, `cats_strings`, `classes_strings`, …
fn pairs(operation: &Operation<'_>) -> Result<(Keys, Constant)> {
    let attributes = operation.attributes;
    if operation.op == "CategoryMapper" {
        let texts = attributes.texts("cats_strings")?;
        return Ok((Keys::Texts(texts), Constant::integers(attributes.ints("cats_int64s")?.to_vec())));
    }
    let classes = attributes.texts("classes_strings")?;
    if !classes.is_empty() {
        let codes = (0_i64..).zip(&classes).map(|(code, _)| code).collect();
        return Ok((Keys::Texts(classes), Constant::integers(codes)));
    }
    let keys = if let Some(tensor) = attributes.tensor("keys_tensor")? {
        match Constant::read(tensor)?.values {
            Values::Texts(keys) => Keys::Texts(keys),
            Values::Integers(keys) => Keys::Integers(keys),
            Values::Numbers(_) => return Err(operation.unsupported("with keys_tensor of floats")),
        }
    } else if attributes.has("keys_strings") {
        Keys::Texts(attributes.texts("keys_strings")?)
    } else if attributes.has("keys_int64s") {
        Keys::Integers(attributes.ints("keys_int64s")?.to_vec())
    } else {
        return Err(operation.unsupported("without keys_strings, keys_int64s or keys_tensor"));
    };
    let values = if let Some(tensor) = attributes.tensor("values_tensor")? {
        Constant::read(tensor)?
    } else if attributes.has("values_int64s") {
        Constant::integers(attributes.ints("values_int64s")?.to_vec())
    } else if attributes.has("values_floats") {
        let values = attributes.floats("values_floats")?;
        Constant::numbers(values.iter().map(|value| f64::from(*value)).collect(), Element::Single)
    } else {
        return Err(operation.unsupported("without values_int64s, values_floats or values_tensor"));
    };
    Ok((keys, values))
}

/// The keys in the order of their values.
fn in_order(operation: &Operation<'_>, keys: Keys, values: &Constant) -> Result<Keys> {
    let count = match &keys {
        Keys::Texts(keys) => keys.len(),
        Keys::Integers(keys) => keys.len(),
    };
    let codes = values.to_numbers().unwrap_or_default();
    if codes.len() != count {
        return Err(Error::content(format!("{count} values that are numbers, one a key"), codes.len()));
    }
    let mut places = vec![None; count];
    for (place, code) in codes.iter().enumerate() {
        let slot = (code.fract() == 0.0 && *code >= 0.0).then(|| places.get_mut(*code as usize)).flatten();
        match slot {
            Some(slot @ None) => *slot = Some(place),
            Some(Some(_)) | None => return Err(operation.unsupported("whose values are not 0, 1, 2, … in some order")),
        }
    }
    let order = places.into_iter().flatten();
    Ok(match keys {
        Keys::Texts(keys) => Keys::Texts(order.map(|place| keys[place].clone()).collect()),
        Keys::Integers(keys) => Keys::Integers(order.map(|place| keys[place]).collect()),
    })
}

/// The type of the values, and the one for what is not among the keys.
fn default(operation: &Operation<'_>, values: &Constant) -> Result<(Element, f64)> {
    let attributes = operation.attributes;
    if let Some(tensor) = attributes.tensor("default_tensor")? {
        let numbers = Constant::read(tensor)?.to_numbers();
        let first = numbers.and_then(|numbers| numbers.first().copied());
        return match first {
            Some(first) => Ok((values.element, first)),
            None => Err(Error::content("a number in `default_tensor`", "none")),
        };
    }
    // What the standard has for a default that is not said.
    let default = match values.element {
        Element::Single | Element::Double => f64::from(attributes.float("default_float")?.unwrap_or(-0.0)),
        Element::Integer | Element::Boolean | Element::Text => attributes.int("default_int64")?.unwrap_or(-1) as f64,
    };
    Ok((values.element, default))
}
