//! The body of `POST …/infer`: names, parameters and tensors, in whatever order the members come.
//!
//! Members this server does not know are read and forgotten, as the protocol asks. `data` that comes before its
//! `datatype` or `shape` is skipped and read again once they are known, so the common order costs one pass and the rare
//! one two.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use contract::{DataType, Tensor};

use super::{
    Result, WireError,
    reader::Reader,
    tensor::{Header, read_data},
};

/// Most inputs of one request: more than any table has columns, and few enough that looking one up among all stays cheap.
const MOST_INPUTS: usize = 16_384;

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
    let mut seen = Seen::of(&["id", "parameters", "inputs", "outputs"]);
    let mut inputs = None;
    reader.object("an object with a member 'inputs'", |reader, key| {
        seen.once(reader, &key)?;
        match key.as_ref() {
            "id" => {
                request.id = Some(reader.string("a string as 'id'")?.into_owned());
            }
            "parameters" => {
                request.timeout = read_parameters(reader)?;
            }
            "inputs" => {
                inputs = Some(read_inputs(reader)?);
            }
            "outputs" => {
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

/// Remembers which of an object's members came, so that none is taken twice.
pub(super) struct Seen {
    members: &'static [&'static str],
    came: u32,
}

impl Seen {
    /// For the members that count, 32 at most; others may come as often as they like.
    pub(super) const fn of(members: &'static [&'static str]) -> Self {
        Self { members, came: 0 }
    }

    pub(super) fn once(&mut self, reader: &Reader<'_>, key: &str) -> Result<()> {
        let Some(place) = self.members.iter().position(|member| *member == key) else { return Ok(()) };
        if self.came >> place & 1 == 1 {
            return Err(WireError::DuplicateMember { offset: reader.offset(), key: key.to_owned() });
        }
        self.came |= 1 << place;
        Ok(())
    }
}

fn read_parameters(reader: &mut Reader<'_>) -> Result<Option<Duration>> {
    const EXPECTED: &str = "a whole number of microseconds as 'timeout'";
    let mut timeout = None;
    reader.object("an object as 'parameters'", |reader, key| {
        if key != "timeout" {
            return reader.skip();
        }
        reader.peek();
        let offset = reader.offset();
        let literal = reader.number(EXPECTED)?.text();
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
        if inputs.len() == MOST_INPUTS {
            return Err(reader.unexpected(&format!("at most {MOST_INPUTS} inputs")));
        }
        inputs.push(read_input(reader, inputs.len())?);
        Ok(())
    })?;
    Ok(inputs)
}

fn read_input<'a>(reader: &mut Reader<'a>, number: usize) -> Result<Tensor> {
    let mut seen = Seen::of(&["name", "datatype", "shape", "data", "parameters"]);
    let (mut name, mut datatype, mut shape) = (None::<Cow<'a, str>>, None, None);
    let mut tensor = None;
    let mut data_at: Option<Reader<'a>> = None;
    let mut binary = false;
    reader.object("an object with 'name', 'datatype', 'shape' and 'data' as an input", |reader, key| {
        seen.once(reader, &key)?;
        match key.as_ref() {
            "name" => {
                name = Some(reader.string("a string as 'name'")?);
            }
            "datatype" => {
                datatype = Some(read_datatype(reader)?);
            }
            "shape" => {
                shape = Some(read_shape(reader)?);
            }
            "data" => {
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
        let literal = reader.number(EXPECTED)?.text();
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
    let mut names = BTreeSet::new();
    reader.array("an array as 'outputs'", |reader| {
        let mut seen = Seen::of(&["name"]);
        let mut name = None;
        reader.peek();
        let offset = reader.offset();
        reader.object("an object with a member 'name' as an output", |reader, key| {
            seen.once(reader, &key)?;
            match key.as_ref() {
                "name" => name = Some(reader.string("a string as 'name'")?.into_owned()),
                "parameters" => read_output_parameters(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let parent = || format!("output number {}", outputs.len());
        let name = name.ok_or_else(|| WireError::MissingMember { parent: parent(), key: "name" })?;
        if !names.insert(name.clone()) {
            let expected = "each output once".to_owned();
            return Err(WireError::Unexpected { offset, expected, got: format!("'{name}' twice") });
        }
        outputs.push(name);
        Ok(())
    })?;
    Ok(outputs)
}

fn read_output_parameters(reader: &mut Reader<'_>) -> Result<()> {
    reader.object("an object as 'parameters'", |reader, key| {
        // To leave it out would be to answer something else than was asked for.
        if key == "classification" {
            let message = "the output parameter 'classification' is not supported";
            return Err(WireError::Unsupported(message.to_owned()));
        }
        reader.skip()
    })
}
