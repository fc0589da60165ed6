//! The protocol's `parameters`: names with a string, a number or a boolean each.

use std::time::Duration;

use super::{Result, WireError, reader::Reader, shared::Span};

/// Parameters of this prefix are the server's own; a client may set those in [`KNOWN`] only.
const RESERVED: &str = "triton_";
const KNOWN: &str = "triton_enable_empty_final_response";

/// Parameters of a whole request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestParameters {
    /// Longest time to the answer; none for no wish.
    pub(super) timeout: Option<Duration>,
    /// Level of urgency, from 1; 0 for no wish.
    pub(super) priority: u32,
    /// Whether outputs that do not say otherwise come as raw bytes.
    pub(super) binary: bool,
    /// Whether the answer shall be explained.
    pub(super) explain: bool,
}

/// Parameters of an input.
#[derive(Clone, Debug, Default)]
pub(super) struct InputParameters {
    /// Bytes of the input behind the JSON header.
    pub(super) binary: Option<usize>,
    /// Where the input is, if it is in shared memory.
    pub(super) shared: Option<Span>,
}

/// Parameters of an output.
#[derive(Clone, Debug, Default)]
pub(super) struct OutputParameters {
    pub(super) binary: Option<bool>,
    pub(super) classes: Option<usize>,
    pub(super) shared: Option<Span>,
}

impl RequestParameters {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut parameters = Self::default();
        read(reader, |reader, key| {
            match key {
                "timeout" => {
                    let microseconds = whole(reader, "a whole number of microseconds as 'timeout'")?;
                    parameters.timeout = (microseconds > 0).then(|| Duration::from_micros(microseconds));
                }
                "priority" => {
                    // One that large is beyond any model's last level, whichever it is.
                    let level = whole(reader, "a whole number as 'priority'")?;
                    parameters.priority = u32::try_from(level).unwrap_or(u32::MAX);
                }
                "binary_data_output" => {
                    parameters.binary = reader.boolean("true or false as 'binary_data_output'")?;
                }
                "explain" => parameters.explain = reader.boolean("true or false as 'explain'")?,
                _ if is_reserved(key) => return Err(reserved(key)),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(parameters)
    }
}

impl InputParameters {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut parameters = Self::default();
        let mut shared = SharedParameters::default();
        read(reader, |reader, key| {
            if key == "binary_data_size" {
                parameters.binary = Some(size(reader, "a whole number of bytes as 'binary_data_size'")?);
                return Ok(true);
            }
            shared.member(reader, key)
        })?;
        parameters.shared = shared.span()?;
        Ok(parameters)
    }
}

impl OutputParameters {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut parameters = Self::default();
        let mut shared = SharedParameters::default();
        read(reader, |reader, key| {
            match key {
                "binary_data" => parameters.binary = Some(reader.boolean("true or false as 'binary_data'")?),
                "classification" => {
                    let classes = size(reader, "a whole number of classes as 'classification'")?;
                    parameters.classes = (classes > 0).then_some(classes);
                }
                _ => return shared.member(reader, key),
            }
            Ok(true)
        })?;
        parameters.shared = shared.span()?;
        Ok(parameters)
    }
}

/// The three parameters that say where in shared memory a tensor is.
#[derive(Default)]
struct SharedParameters {
    region: Option<String>,
    offset: u64,
    byte_size: Option<u64>,
}

impl SharedParameters {
    fn member(&mut self, reader: &mut Reader<'_>, key: &str) -> Result<bool> {
        match key {
            "shared_memory_region" => {
                self.region = Some(reader.string("a string as 'shared_memory_region'")?.into_owned());
            }
            "shared_memory_offset" => {
                self.offset = whole(reader, "a whole number of bytes as 'shared_memory_offset'")?;
            }
            "shared_memory_byte_size" => {
                self.byte_size = Some(whole(reader, "a whole number of bytes as 'shared_memory_byte_size'")?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn span(self) -> Result<Option<Span>> {
        Span::of_parameters(self.region, self.offset, self.byte_size)
    }
}

/// Whether a client may not set this parameter.
pub(crate) fn is_reserved(key: &str) -> bool {
    key.starts_with(RESERVED) && key != KNOWN
}

/// Refuses a parameter that a client may not set.
pub(crate) fn reserved(key: &str) -> WireError {
    WireError::Unsupported(format!(
        "expected parameters without the reserved prefix '{RESERVED}', got '{}'",
        super::reader::excerpt(key)
    ))
}

/// Reads an object of parameters. `known` reads those it knows and says whether it did; others are checked and forgotten.
fn read<'a>(reader: &mut Reader<'a>, mut known: impl FnMut(&mut Reader<'a>, &str) -> Result<bool>) -> Result<()> {
    reader.object("an object as 'parameters'", |reader, key| {
        if known(reader, &key)? {
            return Ok(());
        }
        match reader.peek() {
            Some(b'{' | b'[' | b'n') => {
                let expected =
                    format!("a string, a number, true or false as parameter '{}'", super::reader::excerpt(&key));
                Err(reader.unexpected(&expected))
            }
            _ => reader.skip(),
        }
    })
}

fn whole(reader: &mut Reader<'_>, expected: &str) -> Result<u64> {
    reader.peek();
    let offset = reader.offset();
    let literal = reader.number(expected)?;
    literal.to_integer().ok_or_else(|| WireError::Unexpected {
        offset,
        expected: expected.to_owned(),
        got: super::reader::excerpt(literal.text()),
    })
}

fn size(reader: &mut Reader<'_>, expected: &str) -> Result<usize> {
    // A size beyond the address space is larger than any body; it is refused where it is compared with one.
    Ok(usize::try_from(whole(reader, expected)?).unwrap_or(usize::MAX))
}
