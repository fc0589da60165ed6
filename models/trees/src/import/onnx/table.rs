//! The way from a graph's inputs to the trees: which column each feature is, and what is done to it first.

use std::collections::HashMap;

use super::{
    budget::Budget,
    constant::{Element, place},
};
use crate::{
    Error, Result,
    ensemble::{Categories, Column, ColumnKind, Step},
};

/// A value that a row has: a column after some steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lane {
    pub(super) column: u32,
    pub(super) steps: Vec<Step>,
    /// Whether it begins with the column's codes, not with its numbers.
    pub(super) coded: bool,
}

/// Rounds to f32 and leaves the value otherwise as it is.
const ROUND: Step = Step::Scale { offset: 0.0, scale: 1.0 };

impl Lane {
    /// Adds a step to a lane of this type. A column of floats may hold doubles, which trees round as they compare; what
    /// asks for a value before that must see the float too.
    pub(super) fn push(&mut self, element: Element, step: Step) {
        let rounded = |step: &Step| !matches!(step, Step::Impute(_));
        let asks = !matches!(step, Step::Impute(_) | Step::Scale { offset: _, scale: _ });
        if asks && element == Element::Single && !self.coded && !self.steps.iter().any(rounded) {
            self.steps.push(ROUND);
        }
        self.steps.push(step);
    }
}

/// More steps on one value are refused; converters write two or three.
const MOST_STEPS: usize = 32;

/// A tensor of a row's values: its first axis is the rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) element: Element,
    /// Row by row of the axes behind the first.
    pub(super) lanes: Vec<Lane>,
    /// The axes behind the first; their product is the number of lanes.
    pub(super) dims: Vec<usize>,
}

/// More columns are refused: their number is one of the file's words.
pub(super) const MOST_COLUMNS: usize = 1 << 16;

/// What categories a column has, by name or number; the place is the code.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Keys {
    Texts(Vec<String>),
    Integers(Vec<i64>),
}

/// A column of the graph's inputs.
#[derive(Debug)]
struct Source {
    name: String,
    element: Element,
    keys: Option<Keys>,
    /// Whether its numbers are used as they are.
    plain: bool,
}

/// The graph's columns.
#[derive(Debug, Default)]
pub(super) struct Columns(Vec<Source>);

impl Columns {
    /// A graph's input: a row has one value, or as many as the second axis says.
    pub(super) fn input(&mut self, name: &str, element: Element, width: Option<usize>) -> Result<Table> {
        let count = width.unwrap_or(1);
        let first = self.0.len();
        if count == 0 || count > MOST_COLUMNS - first {
            return Err(Error::content(format!("1 to {MOST_COLUMNS} columns in all"), format!("{count} in `{name}`")));
        }
        let name = |index: usize| if count == 1 { name.to_owned() } else { format!("{name}_{index}") };
        self.0.extend((0..count).map(|index| Source { name: name(index), element, keys: None, plain: false }));
        let lanes = (first..first + count)
            .map(|column| Lane { column: column as u32, steps: Vec::new(), coded: false })
            .collect();
        Ok(Table { element, lanes, dims: width.into_iter().collect() })
    }

    /// The codes of these categories in a lane's column, which has them from now on.
    ///
    /// With `all`, they are all that the column has, in this order; else more of them may come later.
    pub(super) fn codes(&mut self, lane: &Lane, keys: &Keys, all: bool, op: &str) -> Result<Vec<u32>> {
        let source = &mut self.0[lane.column as usize];
        let name = source.name.clone();
        let other = || used_twice(op, &name);
        if !lane.steps.is_empty() || lane.coded || source.plain {
            return Err(other());
        }
        match &mut source.keys {
            None => {
                let codes = unique(keys)?;
                source.keys = Some(keys.clone());
                Ok(codes)
            }
            Some(known) if known == keys => unique(keys),
            Some(_) if all => Err(other()),
            Some(Keys::Texts(known)) => match keys {
                Keys::Texts(keys) => {
                    let places: HashMap<&str, u32> =
                        known.iter().zip(0..).map(|(key, code)| (key.as_str(), code)).collect();
                    let codes: Option<Vec<u32>> = keys.iter().map(|key| places.get(key.as_str()).copied()).collect();
                    codes.ok_or_else(other)
                }
                Keys::Integers(_) => Err(other()),
            },
            Some(Keys::Integers(_)) => Err(other()),
        }
    }

    /// Notes that these lanes go on as numbers.
    pub(super) fn plain(&mut self, table: &Table, op: &str) -> Result<()> {
        for lane in table.lanes.iter().filter(|lane| !lane.coded) {
            let source = &mut self.0[lane.column as usize];
            if source.keys.is_some() || source.element == Element::Text {
                return Err(used_twice(op, &source.name));
            }
            source.plain = true;
        }
        Ok(())
    }

    /// The columns as an ensemble has them.
    pub(super) fn finish(self) -> Vec<Column> {
        let kind = |element, keys| match (keys, element) {
            (Some(Keys::Texts(keys)), _) => ColumnKind::Category(Categories::Strings(keys)),
            (Some(Keys::Integers(keys)), _) => ColumnKind::Category(Categories::Integers(keys)),
            (None, Element::Text) => ColumnKind::Category(Categories::Strings(Vec::new())),
            (None, Element::Single | Element::Double) => ColumnKind::Float,
            (None, Element::Integer) => ColumnKind::Integer,
            (None, Element::Boolean) => ColumnKind::Boolean,
        };
        self.0
            .into_iter()
            .map(|Source { name, element, keys, plain: _ }| Column { name, kind: kind(element, keys) })
            .collect()
    }
}

fn used_twice(op: &str, column: &str) -> Error {
    Error::unsupported(format!("{op} on column `{column}`, which is used in another way too"), "give each use a column")
}

/// Codes of categories that differ from each other.
fn unique(keys: &Keys) -> Result<Vec<u32>> {
    let mut seen = std::collections::HashSet::new();
    let mut seen_integers = std::collections::HashSet::new();
    let (count, twice) = match keys {
        Keys::Texts(keys) => (keys.len(), keys.iter().any(|key| !seen.insert(key))),
        Keys::Integers(keys) => (keys.len(), keys.iter().any(|key| !seen_integers.insert(key))),
    };
    if twice {
        return Err(Error::content("each category once", "one twice"));
    }
    Ok((0..count as u32).collect())
}

impl Table {
    /// Does something to each lane; the index is the lane's on the last axis.
    pub(super) fn each(mut self, element: Element, budget: &Budget, step: impl Fn(usize) -> Step) -> Result<Self> {
        budget.spend(self.lanes.len())?;
        let last = self.dims.last().copied().unwrap_or(1).max(1);
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            lane.push(self.element, step(index % last));
            if lane.steps.len() > MOST_STEPS {
                return Err(Error::unsupported(
                    format!("more than {MOST_STEPS} steps on a column"),
                    "prepare it outside",
                ));
            }
        }
        self.element = element;
        Ok(self)
    }

    /// A row's values as another type: ONNX `Cast`.
    pub(super) fn cast(self, to: Element, budget: &Budget) -> Result<Self> {
        use Element::{Boolean, Double, Integer, Single, Text};
        match (self.element, to) {
            (Single | Double, Integer) => self.each(to, budget, |_| Step::Truncate),
            // A float is a double already; but what a double column holds becomes a float here.
            (Single, Double) => self.each(to, budget, |_| ROUND),
            (Text, Text)
            | (Single | Double | Integer | Boolean, Single)
            | (Double | Integer | Boolean, Double)
            | (Integer | Boolean, Integer)
            | (Boolean, Boolean) => Ok(Self { element: to, ..self }),
            (from, to) => Err(Error::unsupported(
                format!("Cast of columns from {from:?} to {to:?}"),
                "give the columns as numbers",
            )),
        }
    }

    /// Tables side by side: ONNX `Concat` on an axis behind the rows.
    pub(super) fn beside(tables: Vec<Self>, axis: i64, budget: &Budget) -> Result<Self> {
        let mut tables = tables.into_iter();
        let Some(mut all) = tables.next() else { return Err(Error::content("an input of Concat", "none")) };
        // On a later axis too, lanes follow each other as long as the axes before it are of length 1.
        let behind_rows = place(axis, all.dims.len() + 1).and_then(|axis| axis.checked_sub(1));
        let before =
            behind_rows.and_then(|axis| all.dims.get(..axis)).filter(|before| before.iter().all(|dim| *dim == 1));
        let (Some(before), false) = (before, all.dims.is_empty()) else {
            return Err(Error::unsupported(
                format!("Concat of columns on axis {axis}"),
                "concatenate tables on axis 1",
            ));
        };
        let axis = before.len();
        for table in tables {
            budget.spend(table.lanes.len())?;
            let alike = table.element == all.element && table.dims.len() == all.dims.len();
            let fits =
                all.dims.iter().zip(&table.dims).enumerate().all(|(other, (one, two))| other == axis || one == two);
            if !alike || !fits {
                return Err(Error::content("tensors of one type, alike but for one axis, in Concat", "others"));
            }
            all.dims[axis] += table.dims[axis];
            all.lanes.extend(table.lanes);
        }
        Ok(all)
    }

    /// The values at these places of the second axis: ONNX `Gather`, `ArrayFeatureExtractor`.
    pub(super) fn select(&self, places: &[i64], budget: &Budget) -> Result<Self> {
        budget.spend(places.len())?;
        let count = self.lanes.len();
        let [_] = self.dims[..] else {
            return Err(Error::unsupported("a choice of columns in a tensor that is no table", "choose from a table"));
        };
        let lane = |index: &i64| {
            let lane = place(*index, count).and_then(|place| self.lanes.get(place)).cloned();
            lane.ok_or_else(|| Error::content(format!("a column below {count}"), index))
        };
        let lanes = places.iter().map(lane).collect::<Result<Vec<_>>>()?;
        Ok(Self { element: self.element, dims: vec![lanes.len()], lanes })
    }

    /// The same values on other axes: ONNX `Reshape` to `[-1, …]`, `Flatten`, `Squeeze`, `Unsqueeze`.
    pub(super) fn reshape(self, dims: Vec<usize>) -> Result<Self> {
        let count = dims.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        if count == Some(self.lanes.len()) {
            return Ok(Self { dims, ..self });
        }
        Err(Error::unsupported(
            format!("Reshape of {} values a row to the axes {dims:?}", self.lanes.len()),
            "keep the rows on the first axis",
        ))
    }
}
