//! Protobuf on the wire, field by field, borrowed from the message: nothing is built and nothing is allocated.
//!
//! A generated message costs many bytes of memory for a byte on the wire (an empty submessage takes two bytes of a request and
//! hundreds of ours), so what strangers send is read this way. What a field means is the caller's affair.

use prost::{
    DecodeError,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

/// A message is not what it should be. The text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// These bytes are not protobuf.
    #[error("the request message is not valid protobuf: {0}")]
    Bytes(String),
    /// A known field is of another type.
    #[error("request message: expected {expected}, got {got}")]
    Field { expected: String, got: &'static str },
}

impl From<DecodeError> for Malformed {
    fn from(error: DecodeError) -> Self {
        let text = error.to_string();
        Self::Bytes(text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text).to_owned())
    }
}

pub(super) type Result<T, E = Malformed> = std::result::Result<T, E>;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    /// Text, bytes, a submessage or packed numbers.
    Delimited(&'a [u8]),
}

impl<'a> Field<'a> {
    /// Bytes, a submessage or packed numbers; `expected` is for the message of the error.
    pub(super) fn delimited(self, expected: &str) -> Result<&'a [u8]> {
        match self {
            Self::Delimited(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed32(_) | Self::Fixed64(_) => Err(self.unexpected(expected)),
        }
    }

    /// Text.
    pub(super) fn text(self, expected: &str) -> Result<&'a str> {
        std::str::from_utf8(self.delimited(expected)?)
            .map_err(|_| Malformed::Field { expected: expected.to_owned(), got: "bytes that are not UTF-8" })
    }

    /// Calls `each` for every number of a repeated field of variable length, packed or not.
    pub(super) fn varints<E: From<Malformed>>(
        self,
        expected: &str,
        mut each: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Varint(value) => each(value),
            Self::Delimited(mut packed) => {
                while !packed.is_empty() {
                    each(decode_varint(&mut packed).map_err(Malformed::from)?)?;
                }
                Ok(())
            }
            Self::Fixed32(_) | Self::Fixed64(_) => Err(self.unexpected(expected).into()),
        }
    }

    pub(super) fn unexpected(self, expected: &str) -> Malformed {
        let got = match self {
            Self::Varint(_) => "a number of variable length",
            Self::Fixed32(_) => "a number of 4 bytes",
            Self::Fixed64(_) => "a number of 8 bytes",
            Self::Delimited(_) => "bytes",
        };
        Malformed::Field { expected: expected.to_owned(), got }
    }
}

/// The fields of a message, in the order they came. Groups, which no message of ours has, are skipped.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<Option<(u32, Field<'a>)>> {
        while !self.rest.is_empty() {
            let (number, wire_type) = decode_key(&mut self.rest)?;
            let field = match wire_type {
                WireType::Varint => Field::Varint(decode_varint(&mut self.rest)?),
                WireType::ThirtyTwoBit => Field::Fixed32(self.fixed()?),
                WireType::SixtyFourBit => Field::Fixed64(self.fixed()?),
                WireType::LengthDelimited => {
                    let length = decode_varint(&mut self.rest)?;
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(cut)?;
                    self.rest = rest;
                    Field::Delimited(bytes)
                }
                WireType::StartGroup | WireType::EndGroup => {
                    skip_field(wire_type, number, &mut self.rest, DecodeContext::default())?;
                    continue;
                }
            };
            return Ok(Some((number, field)));
        }
        Ok(None)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(cut)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>)>;

    /// Ends with the first error.
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.field().transpose();
        if matches!(field, Some(Err(_))) {
            self.rest = &[];
        }
        field
    }
}

fn cut() -> Malformed {
    Malformed::Bytes("a field ends beyond its message".to_owned())
}
