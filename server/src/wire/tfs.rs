//! The body of TensorFlow Serving's `:predict`: tensors whose shapes are said by nesting alone.
//!
//! `instances` holds rows (values, or objects of values by input), `inputs` whole tensors (one, or an object of several). Names
//! and datatypes are the signature's, so each value goes straight into the memory of its tensor; a table model also takes its
//! columns by name, whatever form its inputs are listed in. Members of the body that are unknown are read and forgotten, as
//! TensorFlow Serving does; unknown inputs are refused in both forms, where TensorFlow Serving does so by rows only. Beside what it takes, `null` is a missing element, FP16 and BF16 are numbers, and where the signature asks for a
//! last axis of size 1, that axis may be left out.

use std::collections::HashMap;

use contract::{Axis, ColumnKind, DataType, InputError, Signature, Tensor};

use super::{Result, WireError, infer::Seen, reader::Reader, tfs_gather::Gather};

/// How a client writes tensors, and so reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TfsForm {
    /// `instances` in, `predictions` out: the first axis is the list.
    Row,
    /// `inputs` in, `outputs` out.
    Columnar,
}

/// What a client of `:predict` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct TfsPredict {
    /// The signature meant; the default one when absent.
    pub signature_name: Option<String>,
    /// The form of the request.
    pub form: TfsForm,
    /// Inputs, in the signature's order.
    pub inputs: Vec<Tensor>,
    /// Whether the answer shall be explained; from the member `explain`, which is our own.
    pub explain: bool,
}

/// The signature that a body of TensorFlow Serving's names, as far as that can be read; for the error of a body that does not fit
/// the signature there is.
#[must_use]
pub fn tfs_signature_name(body: &[u8]) -> Option<String> {
    let mut name = None;
    // What is wrong with the body is told by whoever reads all of it.
    let _ = Reader::new(body).object("an object", |reader, key| {
        if key != "signature_name" {
            return reader.skip();
        }
        name = Some(reader.string("a string")?.into_owned());
        Ok(())
    });
    name
}

/// Reads the body of `:predict` for a model with this signature.
///
/// # Errors
/// [`WireError`], saying what was expected where and what came.
pub fn decode_tfs_predict(body: &[u8], signature: &Signature) -> Result<TfsPredict> {
    let mut reader = Reader::new(body);
    let mut seen = Seen::of(&["signature_name", "instances", "inputs", "explain"]);
    let (mut signature_name, mut explain) = (None, false);
    let mut tensors = None;
    reader.object("an object with a member 'instances' or 'inputs'", |reader, key| {
        seen.once(reader, &key)?;
        let form = match key.as_ref() {
            "signature_name" => {
                signature_name = Some(reader.string("a string as 'signature_name'")?.into_owned());
                return Ok(());
            }
            "explain" => {
                explain = reader.boolean("true or false as 'explain'")?;
                return Ok(());
            }
            "instances" => TfsForm::Row,
            "inputs" => TfsForm::Columnar,
            _ => return reader.skip(),
        };
        if tensors.is_some() {
            return Err(WireError::Unexpected {
                offset: reader.offset(),
                expected: "one of 'instances' and 'inputs'".to_owned(),
                got: "both".to_owned(),
            });
        }
        let inputs = match form {
            TfsForm::Row => read_instances(reader, signature)?,
            TfsForm::Columnar => read_inputs(reader, signature)?,
        };
        tensors = Some((form, inputs));
        Ok(())
    })?;
    reader.end()?;
    let (form, inputs) = tensors
        .ok_or_else(|| WireError::MissingMember { parent: "request body".to_owned(), key: "instances' or 'inputs" })?;
    Ok(TfsPredict { signature_name, form, inputs, explain })
}

fn read_instances(reader: &mut Reader<'_>, signature: &Signature) -> Result<Vec<Tensor>> {
    let mut first = reader.clone();
    first.enter_array("a list of rows as 'instances'")?;
    match first.peek() {
        Some(b']') => return Err(InputError::NoRows.into()),
        Some(b'{') if !is_base64(&first) => return read_rows(reader, signature),
        _ => {}
    }
    Ok(vec![read_only_input(reader, signature, "objects with a member for each input as elements of 'instances'")?])
}

fn read_inputs(reader: &mut Reader<'_>, signature: &Signature) -> Result<Vec<Tensor>> {
    if reader.peek() != Some(b'{') || is_base64(reader) {
        return Ok(vec![read_only_input(reader, signature, "an object with a member for each input as 'inputs'")?]);
    }
    let mut slots = Slots::of(signature);
    reader.object("an object of values by input as 'inputs'", |reader, name| {
        let slot = slots.find(&name)?;
        if slot.values.count() > 0 {
            return Err(WireError::DuplicateMember { offset: reader.offset(), key: name.into_owned() });
        }
        slot.values.read(reader)
    })?;
    slots.tensors(None)
}

/// The value of a model's one input.
fn read_only_input(reader: &mut Reader<'_>, signature: &Signature, otherwise: &str) -> Result<Tensor> {
    let [input] = signature.inputs.as_slice() else {
        let known = signature.describe_inputs();
        return Err(reader.unexpected(&format!("{otherwise} (the model takes {known})")));
    };
    let mut values = Gather::new(&input.name, input.datatype);
    values.read(reader)?;
    values.tensor(None, Some(&input.shape))
}

/// Rows as objects, each with the same members.
fn read_rows(reader: &mut Reader<'_>, signature: &Signature) -> Result<Vec<Tensor>> {
    let mut slots = Slots::of(signature);
    let (mut rows, mut width) = (0, 0);
    reader.array("a list of rows as 'instances'", |reader| {
        let mut members = 0;
        reader.peek();
        let offset = reader.offset();
        reader.object("an object of values by input as a row, as the first one is", |reader, name| {
            let slot = slots.find(&name)?;
            match slot.values.count() {
                count if count > rows => {
                    return Err(WireError::DuplicateMember { offset: reader.offset(), key: name.into_owned() });
                }
                count if count < rows => return Err(unlike_the_first(offset, rows, "no", &name)),
                _ => {}
            }
            members += 1;
            slot.values.read(reader)
        })?;
        rows += 1;
        if rows == 1 {
            width = members;
        }
        if members < width {
            let lacking = slots.slots.iter().find(|slot| (1..rows).contains(&slot.values.count()));
            let name = lacking.map_or("", |slot| slot.values.name());
            return Err(unlike_the_first(offset, rows - 1, "a", name));
        }
        Ok(())
    })?;
    slots.tensors(Some(rows))
}

fn unlike_the_first(offset: usize, row: usize, expected: &str, name: &str) -> WireError {
    WireError::Unexpected {
        offset,
        expected: format!("{expected} member '{name}' in row {row}, as in row 0"),
        got: if expected == "no" { "one" } else { "none" }.to_owned(),
    }
}

/// Whether an object comes next that stands for bytes: `{"b64": "…"}`.
fn is_base64(reader: &Reader<'_>) -> bool {
    let mut reader = reader.clone();
    let mut members = 0;
    let read = reader.object("", |reader, key| {
        members += 1;
        // The error ends the look ahead, however long the object is.
        if key == "b64" && members == 1 { reader.string("").map(drop) } else { Err(reader.unexpected("")) }
    });
    read.is_ok() && members == 1
}

/// Where the values of one input go.
struct Slot<'s> {
    values: Gather<'s>,
    /// Absent for a column that is no input of its own.
    shape: Option<&'s [Axis]>,
}

/// All names that a request may use.
struct Slots<'s> {
    slots: Vec<Slot<'s>>,
    places: HashMap<&'s str, usize>,
    signature: &'s Signature,
}

impl<'s> Slots<'s> {
    fn of(signature: &'s Signature) -> Self {
        let mut slots: Vec<_> = signature
            .inputs
            .iter()
            .map(|input| Slot { values: Gather::new(&input.name, input.datatype), shape: Some(&input.shape) })
            .collect();
        let mut places: HashMap<_, _> =
            signature.inputs.iter().enumerate().map(|(place, input)| (input.name.as_str(), place)).collect();
        for column in &signature.columns {
            places.entry(&column.name).or_insert_with(|| {
                slots.push(Slot { values: Gather::new(&column.name, column_datatype(column.kind)), shape: None });
                slots.len() - 1
            });
        }
        Self { slots, places, signature }
    }

    fn find(&mut self, name: &str) -> Result<&mut Slot<'s>> {
        match self.places.get(name) {
            Some(place) => Ok(&mut self.slots[*place]),
            None => Err(unknown_input(name, self.signature).into()),
        }
    }

    /// What came; which of them must come is the model's affair.
    fn tensors(self, rows: Option<usize>) -> Result<Vec<Tensor>> {
        let came = self.slots.into_iter().filter(|slot| slot.values.count() > 0);
        came.map(|Slot { values, shape }| values.tensor(rows, shape)).collect()
    }
}

/// The error for a name that is neither an input nor a column.
pub(crate) fn unknown_input(name: &str, signature: &Signature) -> InputError {
    let mut expected = signature.describe_inputs();
    let columns: Vec<_> = signature.columns.iter().map(|column| format!("'{}'", column.name)).collect();
    if !columns.is_empty() {
        expected += &format!(", or the columns {}", columns.join(", "));
    }
    InputError::UnknownInput { name: name.to_owned(), expected }
}

/// The element type of a table model's column, as its encoders take it.
pub(crate) const fn column_datatype(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Numeric => DataType::Fp64,
        ColumnKind::Boolean => DataType::Bool,
        ColumnKind::Categorical | ColumnKind::Date => DataType::Bytes,
    }
}
