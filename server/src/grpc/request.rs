//! The message of an inference request, read straight into tensors.
//!
//! It is walked twice: once for names, parameters and the number of tensors, once for the tensors, because protobuf lets fields come
//! in any order. What comes twice counts as protobuf says: the last one of a value, all of what is repeated.

use std::{collections::HashSet, time::Duration};

use contract::{DataType, Tensor};

use super::{
    contents,
    parameters::{Parameter, SharedParameters},
    protobuf::{Field, Fields, Malformed},
};
use crate::{
    ApiError,
    wire::{MOST_AXES, Regions, Result as WireResult, Span, WantedOutput, parameters, raw},
};

/// Most inputs, and most outputs, of a request: far more than a wide table has columns, and few enough that a message of two bytes
/// a tensor cannot fill the memory.
const MOST_TENSORS: usize = 65_536;

/// Field numbers of `ModelInferRequest`.
mod request_field {
    pub(super) const MODEL_NAME: u32 = 1;
    pub(super) const MODEL_VERSION: u32 = 2;
    pub(super) const ID: u32 = 3;
    pub(super) const PARAMETERS: u32 = 4;
    pub(super) const INPUTS: u32 = 5;
    pub(super) const OUTPUTS: u32 = 6;
    pub(super) const RAW_INPUT_CONTENTS: u32 = 7;
}

/// Field numbers of `InferInputTensor`.
pub(super) mod input_field {
    pub(super) const NAME: u32 = 1;
    pub(super) const DATATYPE: u32 = 2;
    pub(super) const SHAPE: u32 = 3;
    pub(super) const PARAMETERS: u32 = 4;
    pub(in super::super) const CONTENTS: u32 = 5;
}

/// What a client asks for, as `ModelInferRequest`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct InferMessage {
    /// Name of the model.
    pub(crate) model: String,
    /// Its version: a number, an alias or nothing.
    pub(crate) version: String,
    /// The client's own name for the request.
    pub(crate) id: String,
    /// How long the client waits, by the parameter `timeout`.
    pub(crate) timeout: Option<Duration>,
    /// How urgent it is, by the parameter `priority`; 0 for no wish.
    pub(crate) priority: u32,
    /// What the cache may do, by the parameter `cache_control`, in the words of the header `Cache-Control`.
    pub(crate) cache_control: Option<String>,
    /// Whether the answer shall be explained, by the parameter `explain`.
    pub(crate) explain: bool,
    /// Inputs, in order.
    pub(crate) inputs: Vec<InferInput>,
    /// Outputs wanted, in order; all when empty.
    pub(crate) outputs: Vec<WantedOutput>,
    /// Whether the inputs came as raw bytes or in shared memory; the answer is raw then, and typed else.
    pub(crate) raw: bool,
}

/// An input of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InferInput {
    /// It came with the request.
    Tensor(Tensor),
    /// It is in shared memory.
    Shared { name: String, datatype: DataType, shape: Vec<usize>, span: Span },
}

impl InferInput {
    /// The tensor, read from shared memory if it is there.
    ///
    /// # Errors
    /// [`WireError`](crate::wire::WireError) for a part of shared memory that is not there or does not hold the tensor.
    pub(super) fn read(self, regions: &dyn Regions) -> WireResult<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            Self::Shared { name, datatype, shape, span } => raw::decode_shared(&name, datatype, &shape, &span, regions),
        }
    }
}

/// What an input says about itself.
pub(super) struct InputHead<'a> {
    pub(super) name: &'a str,
    pub(super) datatype: DataType,
    pub(super) shape: Vec<usize>,
    /// The input's whole message.
    pub(super) message: &'a [u8],
    pub(super) has_contents: bool,
    shared: Option<Span>,
}

/// The error for bytes that are no message.
pub(super) fn malformed(error: &prost::DecodeError) -> ApiError {
    Malformed::from(error.clone()).into()
}

impl From<Malformed> for ApiError {
    fn from(error: Malformed) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl InferMessage {
    /// Reads the whole of a message.
    ///
    /// # Errors
    /// One that is the client's fault, saying what was expected and what came.
    pub(super) fn decode(message: &[u8]) -> Result<Self, ApiError> {
        let mut request = Self::default();
        let mut asked = HashSet::new();
        let (mut inputs, mut raws) = (0, 0);
        for field in Fields::new(message) {
            let (number, field) = field?;
            match number {
                request_field::MODEL_NAME => field.text("a string as 'model_name'")?.clone_into(&mut request.model),
                request_field::MODEL_VERSION => {
                    field.text("a string as 'model_version'")?.clone_into(&mut request.version);
                }
                request_field::ID => field.text("a string as 'id'")?.clone_into(&mut request.id),
                request_field::PARAMETERS => {
                    let parameter = Parameter::read(field)?;
                    if parameter.key == "timeout" {
                        request.timeout = parameter.timeout()?;
                    } else if parameter.key == "priority" {
                        request.priority = parameter.priority()?;
                    } else if parameter.key == "cache_control" {
                        request.cache_control = Some(parameter.text()?.to_owned());
                    } else if parameter.key == "explain" {
                        request.explain = parameter.explain()?;
                    } else if parameters::is_reserved(parameter.key) {
                        return Err(parameters::reserved(parameter.key).into());
                    }
                }
                request_field::INPUTS => inputs += 1,
                request_field::OUTPUTS => {
                    let (name, output) = output(field)?;
                    if !asked.insert(name) {
                        return Err(ApiError::BadRequest(format!("expected each output once, got '{name}' twice")));
                    }
                    if asked.len() > MOST_TENSORS {
                        return Err(too_many("outputs"));
                    }
                    request.outputs.push(output);
                }
                request_field::RAW_INPUT_CONTENTS => raws += 1,
                _ => {}
            }
        }
        if inputs > MOST_TENSORS {
            return Err(too_many("inputs"));
        }
        request.inputs = inputs_of(message, inputs, raws)?;
        // Whoever sends tensors by shared memory reads raw ones only.
        let shared = |input: &InferInput| matches!(input, InferInput::Shared { .. });
        request.raw = raws > 0 || request.inputs.iter().any(shared);
        Ok(request)
    }

    /// The `id` of a message, whatever else is wrong with it; empty when it has none.
    pub(super) fn id_of(message: &[u8]) -> String {
        let ids = Fields::new(message).map_while(Result::ok).filter(|(number, _)| *number == request_field::ID);
        ids.last().and_then(|(_, field)| field.text("a string as 'id'").ok()).unwrap_or_default().to_owned()
    }
}

/// The inputs of a message that has `count` of them and `raws` raw contents: none, or one for each input that is not in shared
/// memory.
fn inputs_of(message: &[u8], count: usize, raws: usize) -> Result<Vec<InferInput>, ApiError> {
    let wrong_count = || {
        let expected = "expected as many raw_input_contents as inputs outside of shared memory, or none";
        ApiError::BadRequest(format!("{expected}, got {raws} with {count} inputs"))
    };
    let mut inputs = Vec::with_capacity(count);
    let mut contents_left = Fields::new(message);
    for field in Fields::new(message) {
        let (request_field::INPUTS, input) = field? else { continue };
        let head = read_head(input.delimited("a message as an element of 'inputs'")?, inputs.len())?;
        inputs.push(match &head.shared {
            Some(_) if head.has_contents => return Err(twice(&head, "in shared memory")),
            Some(span) => InferInput::Shared {
                name: head.name.to_owned(),
                datatype: head.datatype,
                shape: head.shape,
                span: span.clone(),
            },
            None if raws == 0 => InferInput::Tensor(contents::decode(&head)?),
            None if head.has_contents => return Err(twice(&head, "in raw_input_contents")),
            None => {
                let bytes = next_raw(&mut contents_left)?.ok_or_else(wrong_count)?;
                InferInput::Tensor(raw::decode(head.name, head.datatype, &head.shape, bytes)?)
            }
        });
    }
    match next_raw(&mut contents_left)? {
        Some(_) if raws > 0 => Err(wrong_count()),
        _ => Ok(inputs),
    }
}

fn twice(head: &InputHead<'_>, other: &str) -> ApiError {
    ApiError::BadRequest(format!("input '{}': expected its elements in contents or {other}, got both", head.name))
}

/// The next raw contents.
fn next_raw<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    for field in fields {
        if let (request_field::RAW_INPUT_CONTENTS, field) = field? {
            return field.delimited("bytes as an element of 'raw_input_contents'").map(Some);
        }
    }
    Ok(None)
}

fn read_head(message: &[u8], number: usize) -> Result<InputHead<'_>, ApiError> {
    let (mut name, mut datatype) = ("", "");
    let mut shape = Vec::new();
    let mut has_contents = false;
    let mut shared = SharedParameters::default();
    for field in Fields::new(message) {
        let (field_number, field) = field?;
        match field_number {
            input_field::NAME => name = field.text("a string as an input's 'name'")?,
            input_field::DATATYPE => datatype = field.text("a string as an input's 'datatype'")?,
            input_field::SHAPE => {
                field.varints("sizes as an input's 'shape'", |size| axis(&mut shape, size, number))?;
            }
            input_field::PARAMETERS => shared.take(&Parameter::read(field)?)?,
            input_field::CONTENTS => {
                has_contents = true;
                field.delimited("a message as an input's 'contents'")?;
            }
            _ => {}
        }
    }
    let datatype = datatype.parse().map_err(|reason| ApiError::BadRequest(format!("input '{name}': {reason}")))?;
    Ok(InputHead { name, datatype, shape, message, has_contents, shared: shared.span()? })
}

fn axis(shape: &mut Vec<usize>, size: u64, input: usize) -> Result<(), ApiError> {
    if shape.len() == MOST_AXES {
        return Err(ApiError::BadRequest(format!(
            "input number {input}: expected at most {MOST_AXES} axes in 'shape', got more"
        )));
    }
    let size = size.cast_signed();
    let wrong =
        |_| ApiError::BadRequest(format!("input number {input}: expected a size of 0 or more in 'shape', got {size}"));
    shape.push(usize::try_from(size).map_err(wrong)?);
    Ok(())
}

/// An output that is asked for, and its name.
fn output(field: Field<'_>) -> Result<(&str, WantedOutput), ApiError> {
    let mut name = "";
    let mut output = WantedOutput::default();
    let mut shared = SharedParameters::default();
    for field in Fields::new(field.delimited("a message as an element of 'outputs'")?) {
        match field? {
            (1, field) => name = field.text("a string as an output's 'name'")?,
            (2, field) => {
                let parameter = Parameter::read(field)?;
                if parameter.key == "classification" {
                    let classes = usize::try_from(parameter.whole("classes")?).unwrap_or(usize::MAX);
                    output.classes = (classes > 0).then_some(classes);
                }
                shared.take(&parameter)?;
            }
            _ => {}
        }
    }
    name.clone_into(&mut output.name);
    output.shared = shared.span()?;
    Ok((name, output))
}

fn too_many(what: &str) -> ApiError {
    ApiError::BadRequest(format!("expected at most {MOST_TENSORS} {what}, got more"))
}
