//! Parameters of requests, inputs and outputs: maps from names to a value of one of five kinds.

use std::time::Duration;

use super::protobuf::{Field, Fields, Malformed};
use crate::{
    ApiError,
    wire::{Result as WireResult, Span},
};

/// An entry of a map of parameters.
pub(super) struct Parameter<'a> {
    pub(super) key: &'a str,
    value: Option<ParameterValue<'a>>,
}

#[derive(Clone, Copy)]
enum ParameterValue<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(&'a str),
}

impl<'a> Parameter<'a> {
    pub(super) fn read(field: Field<'a>) -> Result<Self, Malformed> {
        let (mut key, mut value) = ("", None);
        for field in Fields::new(field.delimited("a map as 'parameters'")?) {
            match field? {
                (1, field) => key = field.text("a string as the key of a parameter")?,
                (2, field) => {
                    for field in Fields::new(field.delimited("a message as the value of a parameter")?) {
                        value = ParameterValue::read(field?)?.or(value);
                    }
                }
                _ => {}
            }
        }
        Ok(Self { key, value })
    }

    /// The parameter `timeout`: microseconds, 0 for no wish.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        let microseconds = self.whole("microseconds")?;
        Ok((microseconds > 0).then(|| Duration::from_micros(microseconds)))
    }

    /// The parameter `priority`: a level from 1, 0 for no wish. One that is very large is beyond any model's last level.
    pub(super) fn priority(&self) -> Result<u32, ApiError> {
        let level = self.unsigned().ok_or_else(|| self.unexpected("a whole number"))?;
        Ok(u32::try_from(level).unwrap_or(u32::MAX))
    }

    /// The parameter `explain`.
    pub(super) fn explain(&self) -> Result<bool, ApiError> {
        match self.value {
            Some(ParameterValue::Bool(explain)) => Ok(explain),
            _ => Err(self.unexpected("true or false")),
        }
    }

    /// A whole number of `things`, whether signed or not.
    pub(super) fn whole(&self, things: &str) -> Result<u64, ApiError> {
        self.unsigned().ok_or_else(|| self.unexpected(&format!("a whole number of {things}")))
    }

    fn unsigned(&self) -> Option<u64> {
        match self.value {
            Some(ParameterValue::Uint(value)) => Some(value),
            Some(ParameterValue::Int(value)) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    /// A string.
    pub(super) fn text(&self) -> Result<&'a str, ApiError> {
        match self.value {
            Some(ParameterValue::Text(value)) => Ok(value),
            _ => Err(self.unexpected("a string")),
        }
    }

    fn unexpected(&self, expected: &str) -> ApiError {
        let got = match self.value {
            Some(ParameterValue::Uint(value)) => value.to_string(),
            Some(ParameterValue::Int(value)) => value.to_string(),
            Some(ParameterValue::Bool(value)) => value.to_string(),
            Some(ParameterValue::Double(value)) => value.to_string(),
            Some(ParameterValue::Text(value)) => format!("'{value}'"),
            None => "nothing".to_owned(),
        };
        ApiError::BadRequest(format!("expected {expected} as '{}', got {got}", self.key))
    }
}

/// The three parameters that say where in shared memory a tensor is.
#[derive(Default)]
pub(super) struct SharedParameters {
    region: Option<String>,
    offset: u64,
    byte_size: Option<u64>,
}

impl SharedParameters {
    /// Takes a parameter if it is one of them.
    pub(super) fn take(&mut self, parameter: &Parameter<'_>) -> Result<(), ApiError> {
        match parameter.key {
            "shared_memory_region" => self.region = Some(parameter.text()?.to_owned()),
            "shared_memory_offset" => self.offset = parameter.whole("bytes")?,
            "shared_memory_byte_size" => self.byte_size = Some(parameter.whole("bytes")?),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn span(self) -> WireResult<Option<Span>> {
        Span::of_parameters(self.region, self.offset, self.byte_size)
    }
}

impl<'a> ParameterValue<'a> {
    /// None for a kind of value that is unknown.
    fn read((number, field): (u32, Field<'a>)) -> Result<Option<Self>, Malformed> {
        const TEXT: &str = "a string as 'string_param'";
        Ok(Some(match (number, field) {
            (1, Field::Varint(value)) => Self::Bool(value != 0),
            (2, Field::Varint(value)) => Self::Int(value.cast_signed()),
            (3, field) => Self::Text(field.text(TEXT)?),
            (4, Field::Fixed64(bytes)) => Self::Double(f64::from_le_bytes(bytes)),
            (5, Field::Varint(value)) => Self::Uint(value),
            (1, field) => return Err(field.unexpected("a boolean as 'bool_param'")),
            (2, field) => return Err(field.unexpected("an integer as 'int64_param'")),
            (4, field) => return Err(field.unexpected("a number as 'double_param'")),
            (5, field) => return Err(field.unexpected("an integer as 'uint64_param'")),
            _ => return Ok(None),
        }))
    }
}
