//! The body of `POST …/infer`: names, parameters and tensors, in whatever order the members come.
//!
//! The body is JSON, or JSON with the bytes of some inputs behind it, in the order of `inputs` (the binary tensor data
//! extension). Members this server does not know are read and forgotten, as the protocol asks. `data` that comes before its
//! `datatype` or `shape` is skipped and read again once they are known, so the common order costs one pass and the rare
//! one two.

use std::{borrow::Cow, collections::HashSet, time::Duration};

use contract::{DataType, InputError, Signature, Tensor};

use super::{
    Result, WireError,
    output::{WantedOutput, read_outputs},
    parameters::{InputParameters, RequestParameters},
    raw,
    reader::Reader,
    shared::{Regions, Span},
    tensor::{Header, read_data},
};

/// Most inputs, and most outputs, of one request: more than any table has columns, and few enough that looking one up among
/// all stays cheap.
pub(super) const MOST_TENSORS: usize = 16_384;

/// Most axes of a tensor: as many as numpy has.
pub(crate) const MOST_AXES: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferRequest {
    /// The client's own name for the request, given back in the answer.
    pub id: Option<String>,
    /// How long the client waits; from the parameter `timeout`, which is in microseconds and absent or 0 for no wish.
    pub timeout: Option<Duration>,
    /// How urgent it is: 1 is the most urgent level, 0 no wish; from the parameter `priority`.
    pub priority: u32,
    /// Inputs, in order.
    pub inputs: Vec<Tensor>,
    /// Outputs wanted, in order; all when empty.
    pub outputs: Vec<WantedOutput>,
    /// Whether outputs that do not say otherwise come as raw bytes.
    pub binary: bool,
    /// Whether the answer shall be explained; from the parameter `explain`.
    pub explain: bool,
}

impl InferRequest {
    /// Names of the outputs wanted, in order.
    #[must_use]
    pub fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }
}

/// Reads the body of an inference request. `json` is the length of its JSON, behind which raw tensors stand; all of the body
/// is JSON when absent.
///
/// # Errors
/// [`WireError`], saying what was expected where and what came.
pub fn decode_infer(body: &[u8], json: Option<usize>, regions: &dyn Regions) -> Result<InferRequest> {
    let length = json.unwrap_or(body.len());
    let (json, raw) = body.split_at_checked(length).ok_or(WireError::HeaderLength { length, body: body.len() })?;
    let mut raw = Raw { bytes: raw, regions };
    let mut reader = Reader::new(json);
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
                let RequestParameters { timeout, priority, binary, explain } = RequestParameters::read(reader)?;
                (request.timeout, request.priority) = (timeout, priority);
                (request.binary, request.explain) = (binary, explain);
            }
            "inputs" => {
                inputs = Some(read_inputs(reader, &mut raw)?);
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
    if !raw.bytes.is_empty() {
        let bytes = raw.bytes.len();
        return Err(WireError::Unsupported(format!(
            "expected as many bytes behind the JSON's Inference-Header-Content-Length as the inputs' 'binary_data_size' add up to, got {bytes} more"
        )));
    }
    Ok(request)
}

/// Reads a body that is nothing but the bytes of a model's only input: one row, or one string. All outputs come as raw bytes.
///
/// # Errors
/// [`WireError`] when the model has several inputs or more than one axis of free size, or the bytes do not fill its shape.
pub fn decode_raw_infer(body: &[u8], signature: &Signature) -> Result<InferRequest> {
    let refused = |got: String| {
        let expected = "expected a model of one input with at most one free axis for a request of raw bytes";
        Err(WireError::Unsupported(format!("{expected}, got {got}")))
    };
    let [input] = signature.inputs.as_slice() else {
        return refused(format!("{} inputs", signature.inputs.len()));
    };
    // The batch is one row; what is left is known, but for one axis.
    let axes: Vec<i64> = input.oip_shape().into_iter().skip(1).collect();
    let known = axes.iter().filter_map(|axis| usize::try_from(*axis).ok());
    let known = known.fold(1_usize, usize::saturating_mul);
    let free = axes.iter().filter(|axis| **axis < 0).count();
    if free > 1 {
        return refused(format!("{input}"));
    }
    let Some(size) = input.datatype.size() else {
        if known != 1 {
            return refused(format!("{input}"));
        }
        let shape: Vec<usize> = input.shape.iter().map(|_| 1).collect();
        let tensor = Tensor::from_strings(&input.name, shape, std::iter::once(body).collect())?;
        return Ok(InferRequest { inputs: vec![tensor], binary: true, ..InferRequest::default() });
    };
    let row = known.saturating_mul(size);
    let free_size = body.len().checked_div(row).unwrap_or(0);
    let shape = std::iter::once(1)
        .chain(axes.iter().map(|axis| usize::try_from(*axis).unwrap_or(free_size)))
        .take(input.shape.len())
        .collect::<Vec<_>>();
    let tensor = raw::decode(&input.name, input.datatype, &shape, body)?;
    Ok(InferRequest { inputs: vec![tensor], binary: true, ..InferRequest::default() })
}

/// The bytes that inputs are read from when they are not in the JSON.
struct Raw<'a> {
    /// What is left behind the JSON.
    bytes: &'a [u8],
    regions: &'a dyn Regions,
}

impl<'a> Raw<'a> {
    fn take(&mut self, input: &str, size: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.bytes.split_at_checked(size).ok_or_else(|| {
            let left = self.bytes.len();
            WireError::Unsupported(format!(
                "input '{input}': expected {size} bytes behind the JSON, as its 'binary_data_size' says, got {left}"
            ))
        })?;
        self.bytes = rest;
        Ok(bytes)
    }
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

fn read_inputs<'a>(reader: &mut Reader<'a>, raw: &mut Raw<'a>) -> Result<Vec<Tensor>> {
    let mut inputs = Vec::new();
    reader.array("an array as 'inputs'", |reader| {
        if inputs.len() == MOST_TENSORS {
            return Err(reader.unexpected(&format!("at most {MOST_TENSORS} inputs")));
        }
        inputs.push(read_input(reader, inputs.len(), raw)?);
        Ok(())
    })?;
    check_names(&inputs)?;
    Ok(inputs)
}

/// Refuses inputs of the same name.
pub(crate) fn check_names(inputs: &[Tensor]) -> Result<(), InputError> {
    if inputs.len() < 2 {
        return Ok(());
    }
    let mut names = HashSet::with_capacity(inputs.len());
    match inputs.iter().map(Tensor::name).find(|name| !names.insert(*name)) {
        Some(twice) => Err(InputError::DuplicateInput { name: twice.to_owned() }),
        None => Ok(()),
    }
}

/// Where the elements of an input are.
enum Source<'a> {
    /// At this place of the JSON.
    Json(Reader<'a>),
    /// Behind the JSON, so many bytes.
    Binary(usize),
    Shared(Span),
}

fn read_input<'a>(reader: &mut Reader<'a>, number: usize, raw: &mut Raw<'a>) -> Result<Tensor> {
    let mut seen = Seen::of(&["name", "datatype", "shape", "data", "parameters"]);
    let (mut name, mut datatype, mut shape) = (None::<Cow<'a, str>>, None, None);
    let mut tensor = None;
    let mut data_at: Option<Reader<'a>> = None;
    let mut parameters = InputParameters::default();
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
                parameters = InputParameters::read(reader)?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let missing = |key: &'static str| {
        let parent = name.as_ref().map_or_else(|| format!("input number {number}"), |name| format!("input '{name}'"));
        WireError::MissingMember { parent, key }
    };
    let InputParameters { binary, shared } = parameters;
    let has_data = tensor.is_some() || data_at.is_some();
    if usize::from(has_data) + usize::from(binary.is_some()) + usize::from(shared.is_some()) > 1 {
        let input = name.as_deref().unwrap_or_default();
        return Err(WireError::Unsupported(format!(
            "input '{input}': expected its elements as 'data', as binary data or in shared memory, got more than one of them"
        )));
    }
    if let Some(tensor) = tensor {
        return Ok(tensor);
    }
    let source = match (data_at, binary, shared) {
        (Some(at), _, _) => Some(Source::Json(at)),
        (None, Some(size), _) => Some(Source::Binary(size)),
        (None, None, shared) => shared.map(Source::Shared),
    };
    let known_name = name.as_ref().ok_or_else(|| missing("name"))?;
    let datatype = datatype.ok_or_else(|| missing("datatype"))?;
    let shape = shape.as_ref().ok_or_else(|| missing("shape"))?;
    let header = Header { name: known_name, datatype, shape };
    match source.ok_or_else(|| missing("data"))? {
        Source::Json(mut at) => read_data(&mut at, &header),
        Source::Binary(size) => raw::decode(known_name, datatype, shape, raw.take(known_name, size)?),
        Source::Shared(span) => raw::decode_shared(known_name, datatype, shape, &span, raw.regions),
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
        if shape.len() == MOST_AXES {
            return Err(reader.unexpected(&format!("at most {MOST_AXES} axes in 'shape'")));
        }
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
