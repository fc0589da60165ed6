//! From a request's columns to the features that trees ask.

use std::collections::HashMap;

use bytemuck::{AnyBitPattern, NoUninit};
use contract::{ColumnKind, ColumnSpec, InputError, RowBlock, Tensor, TensorSpec};
use trees::{
    Ensemble,
    ensemble::{Categories, Feature, Precision},
};

use crate::table::{
    Cell, Unfit,
    columns::{self, Cells, Columns},
};

/// How requests become rows of features: f32 or f64, as the ensemble compares them.
pub(super) struct Inputs {
    columns: Vec<ColumnSpec>,
    readers: Vec<Reader>,
    places: HashMap<String, usize>,
    features: Vec<Feature>,
    /// Whether the features are the columns as they are.
    same: bool,
    precision: Precision,
}

/// How a cell becomes a number.
enum Reader {
    Number,
    Boolean,
    /// The code of a category by its text.
    Text(HashMap<Box<[u8]>, u32>),
    /// The code of a category by its number.
    Integer(HashMap<i64, u32>),
}

impl Reader {
    /// The number; NaN for what is missing or a category that the model never saw.
    fn read(&self, cell: Cell<'_>) -> Result<f64, Unfit> {
        let number = match self {
            Self::Number => cell.number()?,
            Self::Boolean => cell.boolean()?.map(|value| f64::from(u8::from(value))),
            Self::Text(codes) => match cell {
                // As it is spelled in the model, even if that has space around it or reads like a missing value.
                Cell::Text(text) if codes.contains_key(text) => codes.get(text),
                cell => cell.category()?.and_then(|text| codes.get(text)),
            }
            .map(|code| f64::from(*code)),
            Self::Integer(codes) => {
                let whole = cell.number()?.filter(|number| number.fract() == 0.0);
                whole.and_then(|number| codes.get(&(number as i64))).map(|code| f64::from(*code))
            }
        };
        Ok(number.unwrap_or(f64::NAN))
    }
}

impl Inputs {
    pub(super) fn new(ensemble: &Ensemble) -> Self {
        let mut places = HashMap::new();
        let mut columns = Vec::with_capacity(ensemble.columns.len());
        let mut readers = Vec::with_capacity(ensemble.columns.len());
        for (place, column) in ensemble.columns.iter().enumerate() {
            // A request names its columns, so each needs a name of its own.
            let mut name = column.name.clone();
            while name.is_empty() || places.contains_key(&name) {
                name = format!("{name}#{place}");
            }
            places.insert(name.clone(), place);
            let (kind, reader) = match &column.kind {
                trees::ensemble::ColumnKind::Float
                | trees::ensemble::ColumnKind::Integer
                | trees::ensemble::ColumnKind::Category(Categories::Codes) => (ColumnKind::Numeric, Reader::Number),
                trees::ensemble::ColumnKind::Boolean => (ColumnKind::Boolean, Reader::Boolean),
                trees::ensemble::ColumnKind::Category(Categories::Strings(names)) => {
                    let code = |(code, name): (usize, &String)| (name.as_bytes().into(), code as u32);
                    (ColumnKind::Categorical, Reader::Text(names.iter().enumerate().map(code).collect()))
                }
                trees::ensemble::ColumnKind::Category(Categories::Integers(values)) => {
                    let code = |(code, value): (usize, &i64)| (*value, code as u32);
                    (ColumnKind::Numeric, Reader::Integer(values.iter().enumerate().map(code).collect()))
                }
            };
            columns.push(ColumnSpec { name, kind });
            readers.push(reader);
        }
        let identity = |(place, feature): (usize, &Feature)| *feature == Feature::column(place as u32);
        let same = ensemble.features.len() == columns.len() && ensemble.features.iter().enumerate().all(identity);
        let (features, precision) = (ensemble.features.clone(), ensemble.rules.compare);
        Self { columns, readers, places, features, same, precision }
    }

    pub(super) fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// The inputs of the signature.
    pub(super) fn specs(&self) -> Vec<TensorSpec> {
        columns::inputs(&self.columns, true)
    }

    /// Bytes of an encoded row.
    pub(super) fn row_bytes(&self) -> usize {
        let each = match self.precision {
            Precision::F32 => size_of::<f32>(),
            Precision::F64 => size_of::<f64>(),
        };
        // A model that asks nothing still has rows.
        (self.features.len() * each).max(1)
    }

    /// Encodes a request into `rows`, which is reset first; gives the number of rows.
    pub(super) fn encode(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<usize, InputError> {
        rows.reset(self.row_bytes());
        match self.precision {
            Precision::F32 => self.encode_as::<f32>(inputs, rows),
            Precision::F64 => self.encode_as::<f64>(inputs, rows),
        }
    }

    fn encode_as<T: Number>(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<usize, InputError> {
        if !self.same {
            let mut request = Request::<T> { inputs: self, values: Values::Own(Vec::new()) };
            let count = columns::read_request(&mut request, inputs)?;
            rows.data_mut().resize(count * self.row_bytes());
            let Values::Own(values) = request.values else { return Ok(count) };
            let width = self.columns.len();
            let out = rows.data_mut().as_mut_slice::<T>();
            for (row, out) in values.chunks_exact(width).zip(out.chunks_exact_mut(self.features.len().max(1))) {
                for (feature, out) in self.features.iter().zip(out) {
                    let value = row[feature.column as usize].wide();
                    *out = T::of(feature.steps.iter().fold(value, |value, step| step.apply(value)));
                }
            }
            return Ok(count);
        }
        // The form that most requests have: the rows are in the request as they are in the block, or narrower.
        if let [features] = inputs
            && T::extend_plain(self, features, rows)
        {
            return Ok(features.rows());
        }
        columns::read_request(&mut Request::<T> { inputs: self, values: Values::Block(rows) }, inputs)
    }
}

/// f32 and f64.
trait Number: AnyBitPattern + NoUninit {
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;

    /// Appends the values of a request's only tensor, when its rows can be taken as they are; else gives false.
    fn extend_plain(inputs: &Inputs, features: &Tensor, rows: &mut RowBlock) -> bool;
}

/// The values of a request's only tensor, when it has one number for each column and none is missing but by NaN.
fn plain<'a, T: contract::Element + 'a>(inputs: &Inputs, features: &'a Tensor) -> Option<&'a [T]> {
    let numbers = inputs.readers.iter().all(|reader| matches!(reader, Reader::Number));
    let rows = matches!(features.shape(), [rows, width] if *rows > 0 && *width == inputs.columns.len());
    let named = features.name() == columns::FEATURES && !inputs.places.contains_key(columns::FEATURES);
    features.values::<T>().filter(|_| numbers && rows && named && features.validity().is_none())
}

impl Number for f32 {
    fn of(x: f64) -> Self {
        x as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn extend_plain(inputs: &Inputs, features: &Tensor, rows: &mut RowBlock) -> bool {
        let values = plain::<Self>(inputs, features);
        values.inspect(|values| rows.data_mut().extend_from_slice(values)).is_some()
    }
}

impl Number for f64 {
    fn of(x: f64) -> Self {
        x
    }

    fn wide(self) -> f64 {
        self
    }

    fn extend_plain(inputs: &Inputs, features: &Tensor, rows: &mut RowBlock) -> bool {
        if let Some(values) = plain::<Self>(inputs, features) {
            rows.data_mut().extend_from_slice(values);
            return true;
        }
        let Some(values) = plain::<f32>(inputs, features) else { return false };
        rows.data_mut().resize(size_of_val(values) * 2);
        for (out, value) in rows.data_mut().as_mut_slice::<Self>().iter_mut().zip(values) {
            *out = f64::from(*value);
        }
        true
    }
}

/// A request on its way to columns' values.
struct Request<'a, T> {
    inputs: &'a Inputs,
    values: Values<'a, T>,
}

enum Values<'a, T> {
    Block(&'a mut RowBlock),
    Own(Vec<T>),
}

impl<T: Number> Columns for Request<'_, T> {
    fn count(&self) -> usize {
        self.inputs.columns.len()
    }

    fn name(&self, place: usize) -> &str {
        &self.inputs.columns[place].name
    }

    fn kind(&self, place: usize) -> ColumnKind {
        self.inputs.columns[place].kind
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.inputs.places.get(name).copied()
    }

    fn begin(&mut self, rows: usize) {
        match &mut self.values {
            Values::Block(block) => block.data_mut().resize(rows * self.inputs.row_bytes()),
            Values::Own(values) => values.resize(rows * self.inputs.columns.len(), T::zeroed()),
        }
    }

    fn read(&mut self, place: usize, cells: &Cells<'_>) -> Result<(), InputError> {
        let (column, reader) = (&self.inputs.columns[place], &self.inputs.readers[place]);
        let out = match &mut self.values {
            Values::Block(block) => block.data_mut().as_mut_slice::<T>(),
            Values::Own(values) => values,
        };
        cells.each(out, self.inputs.columns.len(), (&column.name, column.kind), |cell, row| {
            row[place] = T::of(reader.read(cell)?);
            Ok(())
        })
    }
}
