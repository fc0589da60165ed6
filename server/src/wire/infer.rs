//! The body of `POST …/infer`: names, parameters and tensors, in whatever order the members come.
//!
//! Members this server does not know are read and forgotten, as the protocol asks. `data` that comes before its
//! `datatype` or `shape` is skipped and read again once they are known, so the common order costs one pass and the rare
//! one two.

use std::{borrow::Cow, time::Duration};

use contract::{DataType, Tensor};

use super::{
    Result, WireError,
    reader::Reader,
    tensor::{Header, read_data},
};

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferRequest {
    /// The client's own name for the request, given back in the answer.
    pub id: Option<String>,
    /// How long the client waits; from the parameter `timeout`, which is in microseconds and absent or 0 for no wish.
    pub timeout: Option<Duration>,
    /// Inputs, in order.
    pub inputs: Vec<Tensor>,
    /// Outputs wanted, in order; all when empty.
    pub outputs: Vec<String>,
}

/// Reads the body of an inference request.
///
/// # Errors
/// [`WireError`], saying what was expected where and what came.
pub fn decode_infer(body: &[u8]) -> Result<InferRequest> {
    let mut reader = Reader::new(body);
    let mut request = InferRequest::default();
    let mut seen = Seen::default();
    let mut inputs = None;
    reader.object("an object with a member 'inputs'", |reader, key| {
        match key.as_ref() {
            "id" => {
                seen.once(reader, &key)?;
                request.id = Some(reader.string("a string as 'id'")?.into_owned());
            }
            "parameters" => {
                seen.once(reader, &key)?;
                request.timeout = read_parameters(reader)?;
            }
            "inputs" => {
                seen.once(reader, &key)?;
                inputs = Some(read_inputs(reader)?);
            }
            "outputs" => {
                seen.once(reader, &key)?;
                request.outputs = read_outputs(reader)?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    request.inputs =
        inputs.ok_or_else(|| WireError::MissingMember { parent: "request body".to_owned(), key: "inputs" })?;
    Ok(request)
}

/// Remembers which known members of an object came.
#[derive(Default)]
pub(super) struct Seen<'a>(Vec<Cow<'a, str>>);

impl<'a> Seen<'a> {
    pub(super) fn once(&mut self, reader: &Reader<'a>, key: &Cow<'a, str>) -> Result<()> {
        if self.0.contains(key) {
            return Err(WireError::DuplicateMember { offset: reader.offset(), key: key.clone().into_owned() });
        }
        self.0.push(key.clone());
        Ok(())
    }
}

fn read_parameters(reader: &mut Reader<'_>) -> Result<Option<Duration>> {
    let mut timeout = None;
    reader.object("an object as 'parameters'", |reader, key| {
        if key != "timeout" {
            return reader.skip();
        }
        const EXPECTED: &str = "a whole number of microseconds as 'timeout'";
        reader.peek();
        let offset = reader.offset();
        let literal = reader.number(EXPECTED)?;
        let microseconds = literal.parse::<u64>().map_err(|_| WireError::Unexpected {
            offset,
            expected: EXPECTED.to_owned(),
            got: super::reader::excerpt(literal),
        })?;
        timeout = (microseconds > 0).then(|| Duration::from_micros(microseconds));
        Ok(())
    })?;
    Ok(timeout)
}

fn read_inputs(reader: &mut Reader<'_>) -> Result<Vec<Tensor>> {
    let mut inputs = Vec::new();
    reader.array("an array as 'inputs'", |reader| {
        inputs.push(read_input(reader, inputs.len())?);
        Ok(())
    })?;
    Ok(inputs)
}

fn read_input<'a>(reader: &mut Reader<'a>, number: usize) -> Result<Tensor> {
    let mut seen = Seen::default();
    let (mut name, mut datatype, mut shape) = (None::<Cow<'a, str>>, None, None);
    let mut tensor = None;
    let mut data_at: Option<Reader<'a>> = None;
    let mut binary = false;
    reader.object("an object with 'name', 'datatype', 'shape' and 'data' as an input", |reader, key| {
        match key.as_ref() {
            "name" => {
                seen.once(reader, &key)?;
                name = Some(reader.string("a string as 'name'")?);
            }
            "datatype" => {
                seen.once(reader, &key)?;
                datatype = Some(read_datatype(reader)?);
            }
            "shape" => {
                seen.once(reader, &key)?;
                shape = Some(read_shape(reader)?);
            }
            "data" => {
                seen.once(reader, &key)?;
                if let (Some(name), Some(datatype), Some(shape)) = (&name, datatype, &shape) {
                    tensor = Some(read_data(reader, &Header { name, datatype, shape })?);
                } else {
                    data_at = Some(reader.clone());
                    reader.skip()?;
                }
            }
            "parameters" => {
                reader.object("an object as 'parameters'", |reader, key| {
                    binary |= key == "binary_data_size";
                    reader.skip()
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    if let Some(tensor) = tensor {
        return Ok(tensor);
    }
    let missing = |key: &'static str| {
        let parent = name.as_ref().map_or_else(|| format!("input number {number}"), |name| format!("input '{name}'"));
        WireError::MissingMember { parent, key }
    };
    let known_name = name.as_ref().ok_or_else(|| missing("name"))?;
    let datatype = datatype.ok_or_else(|| missing("datatype"))?;
    let shape = shape.as_ref().ok_or_else(|| missing("shape"))?;
    match data_at {
        Some(mut reader) => read_data(&mut reader, &Header { name: known_name, datatype, shape }),
        None if binary => {
            Err(WireError::Unsupported(format!("input '{known_name}': expected JSON 'data', got binary tensor data")))
        }
        None => Err(missing("data")),
    }
}

fn read_datatype(reader: &mut Reader<'_>) -> Result<DataType> {
    reader.peek();
    let offset = reader.offset();
    let text = reader.string("a string as 'datatype'")?;
    text.parse().map_err(|_| WireError::Unexpected {
        offset,
        expected: format!("one of the datatypes {}", DataType::ALL.map(DataType::name).join(", ")),
        got: format!("'{}'", super::reader::excerpt(&text)),
    })
}

fn read_shape(reader: &mut Reader<'_>) -> Result<Vec<usize>> {
    const EXPECTED: &str = "a size of 0 or more in 'shape'";
    let mut shape = Vec::new();
    reader.array("an array of sizes as 'shape'", |reader| {
        reader.peek();
        let offset = reader.offset();
        let literal = reader.number(EXPECTED)?;
        shape.push(literal.parse().map_err(|_| WireError::Unexpected {
            offset,
            expected: EXPECTED.to_owned(),
            got: super::reader::excerpt(literal),
        })?);
        Ok(())
    })?;
    Ok(shape)
}

fn read_outputs(reader: &mut Reader<'_>) -> Result<Vec<String>> {
    let mut outputs: Vec<String> = Vec::new();
    reader.array("an array as 'outputs'", |reader| {
        let mut seen = Seen::default();
        let mut name = None;
        let offset = reader.offset();
        reader.object("an object with a member 'name' as an output", |reader, key| match key.as_ref() {
            "name" => {
                seen.once(reader, &key)?;
                name = Some(reader.string("a string as 'name'")?.into_owned());
                Ok(())
            }
            "parameters" => reader.object("an object as 'parameters'", |reader, key| {
                // Leaving it out would answer something else than was asked for.
                if key == "classification" {
                    return Err(WireError::Unsupported(
                        "the output parameter 'classification' is not supported".to_owned(),
                    ));
                }
                reader.skip()
            }),
            _ => reader.skip(),
        })?;
        let parent = || format!("output number {}", outputs.len());
        let name = name.ok_or_else(|| WireError::MissingMember { parent: parent(), key: "name" })?;
        if outputs.contains(&name) {
            let expected = "each output once".to_owned();
            return Err(WireError::Unexpected { offset, expected, got: format!("'{name}' twice") });
        }
        outputs.push(name);
        Ok(())
    })?;
    Ok(outputs)
}
