//! Follows a graph from its inputs to its outputs.

use std::{collections::HashMap, rc::Rc};

use prost::bytes::Bytes;

use super::{
    budget::Budget,
    constant::{Constant, Element},
    operators::{Operation, apply},
    proto::{Graph, Node, Tensor, ValueInfo, decode},
    scores::Scores,
    table::{Columns, MOST_COLUMNS, Table},
    within,
};
use crate::{
    Error, Result,
    ensemble::{Column, Feature},
};

/// What a tensor of the graph is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// The same for each row.
    Constant(Rc<Constant>),
    /// Columns of the row.
    Table(Rc<Table>),
    /// What trees answer.
    Scores(Rc<Scores>),
    /// Some columns of scores.
    Chosen(Rc<Scores>, Rc<Vec<usize>>),
    /// Several such, on an axis before the rows.
    Stack(Rc<Vec<Scores>>),
    /// Where scores are above zero.
    Above(Rc<Scores>),
    /// A class, which follows from the scores.
    Label,
    /// What was not followed, and why.
    Refused(Rc<Error>),
    /// An input that is left out.
    Nothing,
}

/// What a graph says.
pub(super) struct Read {
    pub(super) columns: Vec<Column>,
    pub(super) features: Vec<Feature>,
    pub(super) scores: Scores,
}

/// What the walk gathers.
pub(super) struct Walk<'a> {
    pub(super) budget: &'a Budget,
    pub(super) columns: Columns,
    /// Features that trees ask, and the table behind each run of them.
    features: Vec<Feature>,
    tables: Vec<(Rc<Table>, usize)>,
}

/// Reads a `GraphProto`.
pub(super) fn read(bytes: Bytes, budget: &Budget) -> Result<Read> {
    let Graph { node, initializer, input, output } = decode(bytes, "a GraphProto")?;
    let mut values = HashMap::new();
    for bytes in initializer {
        let tensor: Tensor = decode(bytes, "a TensorProto")?;
        budget.spend(1)?;
        let name = tensor.name.clone();
        // One that nothing needs may be of any type.
        let value = match Constant::read(tensor) {
            Ok(constant) => Value::Constant(Rc::new(constant)),
            Err(unsupported @ Error::Unsupported { what: _, instead: _ }) => Value::Refused(Rc::new(unsupported)),
            Err(content) => return Err(content),
        };
        define(&mut values, name, value)?;
    }
    let mut walk = Walk { budget, columns: Columns::default(), features: Vec::new(), tables: Vec::new() };
    if input.len() > MOST_COLUMNS {
        return Err(Error::content(format!("at most {MOST_COLUMNS} inputs"), input.len()));
    }
    let inputs =
        input.into_iter().map(|bytes| decode(bytes, "a ValueInfoProto")).collect::<Result<Vec<ValueInfo>>>()?;
    // Before IR version 4, initializers are inputs too.
    let inputs: Vec<_> = inputs.into_iter().filter(|input| !values.contains_key(&input.name)).collect();
    for input in &inputs {
        let table = walk.input(input, inputs.len() == 1, &node)?;
        define(&mut values, input.name.clone(), Value::Table(Rc::new(table)))?;
    }
    for bytes in node {
        budget.spend(1)?;
        let mut node: Node = decode(bytes, "a NodeProto")?;
        walk.node(&mut node, &mut values)
            .map_err(|error| within(error, format_args!("in node `{}` ({})", node.name, node.op_type)))?;
    }
    let scores = answer(output, &values, budget)?;
    Ok(Read { columns: walk.columns.finish(), features: walk.features, scores })
}

fn define(values: &mut HashMap<String, Value>, name: String, value: Value) -> Result<()> {
    // The name of an output that is left out.
    if name.is_empty() {
        return Ok(());
    }
    match values.entry(name) {
        std::collections::hash_map::Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
        std::collections::hash_map::Entry::Occupied(place) => {
            Err(Error::content("each tensor of the graph once", format!("`{}` twice", place.key())))
        }
    }
}

/// The scores among the outputs.
fn answer(outputs: Vec<Bytes>, values: &HashMap<String, Value>, budget: &Budget) -> Result<Scores> {
    let mut found: Vec<(Rc<Scores>, Rc<Vec<usize>>)> = Vec::new();
    for bytes in outputs {
        budget.spend(1)?;
        let ValueInfo { name, kind: _ } = decode(bytes, "a ValueInfoProto")?;
        let (scores, columns) = match values.get(&name) {
            Some(Value::Scores(scores)) => {
                budget.spend(scores.columns())?;
                (Rc::clone(scores), Rc::new((0..scores.columns()).collect()))
            }
            Some(Value::Chosen(scores, columns)) => (Rc::clone(scores), Rc::clone(columns)),
            Some(Value::Label) => continue,
            Some(Value::Refused(why)) => return Err(Error::clone(why)),
            Some(Value::Constant(_) | Value::Table(_) | Value::Stack(_) | Value::Above(_) | Value::Nothing) => {
                let what = format!("output `{name}`, which is no answer of trees");
                return Err(Error::unsupported(what, "leave it out of the graph"));
            }
            None => return Err(Error::content("outputs that the graph computes", format!("`{name}`"))),
        };
        // The same by another name.
        budget.spend(found.len().saturating_mul(columns.len()))?;
        if !found.iter().any(|(other, chosen)| Rc::ptr_eq(other, &scores) && *chosen == columns) {
            found.push((scores, columns));
        }
    }
    let Some((scores, _)) = found.first() else { return Err(Error::content("an output that trees answer", "none")) };
    if found.iter().any(|(other, _)| !Rc::ptr_eq(scores, other)) {
        let instead = "leave one in the graph, or concatenate them";
        return Err(Error::unsupported(format!("{} outputs of different trees or functions", found.len()), instead));
    }
    // skl2onnx's `zipmap: columns` gives each class an output: together they are the scores again.
    let columns: Vec<usize> = found.iter().flat_map(|(_, columns)| columns.iter().copied()).collect();
    Scores::clone(scores).select(&columns, "the outputs", budget)
}

impl Walk<'_> {
    fn input(&mut self, input: &ValueInfo, alone: bool, nodes: &[Bytes]) -> Result<Table> {
        let name = &input.name;
        let Some(tensor) = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref()) else {
            return Err(Error::unsupported(
                format!("input `{name}`, which is no tensor"),
                "export with tensors as inputs",
            ));
        };
        let element = Element::of(i64::from(tensor.elem_type))?;
        let dims: Vec<Option<i64>> = tensor
            .shape
            .iter()
            .flat_map(|shape| &shape.dim)
            .map(|dim| dim.dim_value.filter(|value| *value > 0))
            .collect();
        let width = match (&tensor.shape, &dims[..]) {
            (Some(_), [] | [_]) => None,
            (Some(_), [_, Some(width)]) => Some(usize::try_from(*width).unwrap_or(usize::MAX)),
            (None, _) | (Some(_), [_, None]) if alone => Some(self.asked(nodes)?),
            (None, _) | (Some(_), [_, None]) => {
                let instead = "export with the number of columns in each input's shape";
                return Err(Error::unsupported(format!("input `{name}` of an unknown number of columns"), instead));
            }
            (Some(_), _) => {
                return Err(Error::unsupported(
                    format!("input `{name}` of {} axes", dims.len()),
                    "export with rows of columns",
                ));
            }
        };
        self.columns.input(name, element, width)
    }

    /// How many columns trees ask for, where the only input does not say how many it has.
    fn asked(&self, nodes: &[Bytes]) -> Result<usize> {
        let mut most = 0;
        for bytes in nodes {
            let mut node: Node = decode(bytes.clone(), "a NodeProto")?;
            if node.op_type.starts_with("TreeEnsemble") {
                let attributes = node.attributes()?;
                let ids = attributes.ints("nodes_featureids")?;
                self.budget.spend(ids.len())?;
                most = ids.iter().copied().fold(most, i64::max);
            }
        }
        Ok(usize::try_from(most).unwrap_or(0).min(MOST_COLUMNS) + 1)
    }

    fn node(&mut self, node: &mut Node, values: &mut HashMap<String, Value>) -> Result<()> {
        let attributes = node.attributes()?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            match values.get(name) {
                Some(value) => inputs.push(value.clone()),
                None if name.is_empty() => inputs.push(Value::Nothing),
                None => return Err(Error::content("inputs that come before the node", format!("`{name}`"))),
            }
        }
        self.budget.spend(inputs.len() + node.output.len())?;
        let domain = if node.domain == "ai.onnx" { "" } else { &node.domain };
        let operation = Operation { domain, op: &node.op_type, attributes: &attributes };
        let results = match refusal(&inputs) {
            Some(value) => vec![value; node.output.len()],
            None => match apply(self, &operation, inputs) {
                Ok(results) => results,
                Err(unsupported @ Error::Unsupported { what: _, instead: _ }) => {
                    vec![Value::Refused(Rc::new(unsupported)); node.output.len()]
                }
                Err(content) => return Err(content),
            },
        };
        let mut results = results.into_iter();
        for name in node.output.drain(..) {
            let value = results.next().ok_or_else(|| Error::content("fewer outputs", format!("`{name}`")))?;
            define(values, name, value)?;
        }
        Ok(())
    }

    /// The first feature of a table that trees ask.
    pub(super) fn features(&mut self, table: &Rc<Table>) -> Result<usize> {
        self.budget.spend(self.tables.len())?;
        if let Some((_, first)) = self.tables.iter().find(|(known, _)| Rc::ptr_eq(known, table)) {
            return Ok(*first);
        }
        let known = |(known, first): &(Rc<Table>, usize)| (known.lanes == table.lanes).then_some(*first);
        self.budget.spend(table.lanes.len().saturating_mul(self.tables.len() + 1))?;
        let first = self.tables.iter().find_map(known).unwrap_or(self.features.len());
        if first == self.features.len() {
            let feature = |lane: &super::table::Lane| Feature { column: lane.column, steps: lane.steps.clone() };
            self.features.extend(table.lanes.iter().map(feature));
        }
        self.tables.push((Rc::clone(table), first));
        Ok(first)
    }
}

/// What comes of inputs that were not followed: the reason, or a label where that went in.
fn refusal(inputs: &[Value]) -> Option<Value> {
    let refused = inputs.iter().find(|input| matches!(input, Value::Refused(_)));
    refused.or_else(|| inputs.iter().find(|input| matches!(input, Value::Label))).cloned()
}
