//! The binary form: Universal Binary JSON, draft 12, with the unsigned types of `BJData` that XGBoost adds; big-endian.
//!
//! A `serde` deserializer, so that both forms share one schema. An array's declared length is held against the bytes
//! that are there before it is believed.

use std::fmt;

use serde::{
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Unexpected, Visitor},
    forward_to_deserialize_any,
};

use super::schema::File;
use crate::{Error, Result};

/// Deeper than any model, which has 8 levels.
const DEPTH: u32 = 64;

pub(super) fn read(bytes: &[u8]) -> Result<File> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let file = de::Deserialize::deserialize(&mut reader);
    let file = file.map_err(|Fault { expected, got }| {
        Error::content(format!("{expected} in XGBoost's UBJ before byte {}", reader.at), got)
    })?;
    match bytes.len() - reader.at {
        0 => Ok(file),
        more => {
            Err(Error::content(format!("the end of XGBoost's UBJ at byte {}", reader.at), format!("{more} more bytes")))
        }
    }
}

/// What is wrong, in the two halves of [`Error::Content`].
#[derive(Debug)]
struct Fault {
    expected: String,
    got: String,
}

impl Fault {
    fn new(expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self { expected: expected.to_string(), got: got.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {}", self.expected, self.got)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new("a model", message)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(expected, unexpected)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(expected, unexpected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format_args!("`{field}`"), "none")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format_args!("one `{field}`"), "two")
    }
}

type Read<T> = std::result::Result<T, Fault>;

struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: u32,
}

impl<'de> Reader<'de> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, count: usize) -> Read<&'de [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|left| left.get(..count));
        let taken =
            taken.ok_or_else(|| Fault::new(format_args!("{count} bytes"), format_args!("{} left", self.left())))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Fault::new(format_args!("{N} bytes"), "fewer"))
    }

    fn byte(&mut self) -> Read<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Whether the next byte is this one, which is passed over then.
    fn passes(&mut self, byte: u8) -> bool {
        let next = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(next);
        next
    }

    /// A length: a whole number with its type before it.
    fn length(&mut self) -> Read<usize> {
        let length = match self.byte()? {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(self.byte()?),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            other => return Err(Fault::new("a length", Marker(other))),
        };
        usize::try_from(length).map_err(|_| Fault::new("a length", length))
    }

    fn string(&mut self) -> Read<&'de str> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| Fault::new("a string in UTF-8", "other bytes"))
    }

    /// A value whose type was read.
    fn value<V: Visitor<'de>>(&mut self, marker: u8, visitor: V) -> Read<V::Value> {
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'i' => visitor.visit_i64(i64::from(i8::from_be_bytes(self.array()?))),
            b'U' => visitor.visit_i64(i64::from(self.byte()?)),
            b'I' => visitor.visit_i64(i64::from(i16::from_be_bytes(self.array()?))),
            b'u' => visitor.visit_i64(i64::from(u16::from_be_bytes(self.array()?))),
            b'l' => visitor.visit_i64(i64::from(i32::from_be_bytes(self.array()?))),
            b'm' => visitor.visit_i64(i64::from(u32::from_be_bytes(self.array()?))),
            b'L' => visitor.visit_i64(i64::from_be_bytes(self.array()?)),
            b'M' => visitor.visit_u64(u64::from_be_bytes(self.array()?)),
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            b'S' => visitor.visit_borrowed_str(self.string()?),
            b'[' => self.nested(|reader| {
                let items = Items::open(reader)?;
                visitor.visit_seq(items)
            }),
            b'{' => self.nested(|reader| visitor.visit_map(Keys { reader })),
            other => Err(Fault::new("a value", Marker(other))),
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth == DEPTH {
            return Err(Fault::new(format_args!("at most {DEPTH} levels"), "one more"));
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

/// The byte that stands for a type.
struct Marker(u8);

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the type `{}`", self.0.escape_ascii())
    }
}

/// Bytes of a value of this type, for types whose arrays may declare it once.
fn width(marker: u8) -> Option<usize> {
    match marker {
        b'i' | b'U' => Some(1),
        b'I' | b'u' => Some(2),
        b'l' | b'm' | b'd' => Some(4),
        b'L' | b'M' | b'D' => Some(8),
        _ => None,
    }
}

/// An array from behind its bracket.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    /// The type of all items, if it is declared.
    marker: Option<u8>,
    /// How many there are still, if that is declared; else a bracket ends them.
    left: Option<usize>,
}

impl<'a, 'de> Items<'a, 'de> {
    fn open(reader: &'a mut Reader<'de>) -> Read<Self> {
        let marker = if reader.passes(b'$') { Some(reader.byte()?) } else { None };
        let each = match marker.map(|marker| width(marker).ok_or(marker)) {
            None => 1,
            Some(Ok(width)) => width,
            Some(Err(other)) => return Err(Fault::new("an array of numbers", Marker(other))),
        };
        let left = if reader.passes(b'#') { Some(reader.length()?) } else { None };
        match left {
            None if marker.is_some() => Err(Fault::new("a length behind an array's type", "none")),
            Some(count) if count > reader.left() / each => {
                Err(Fault::new(format_args!("{count} values"), format_args!("{} bytes", reader.left())))
            }
            Some(_) | None => Ok(Self { reader, marker, left }),
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        match &mut self.left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if self.reader.passes(b']') => return Ok(None),
            None => {}
        }
        let marker = self.marker;
        seed.deserialize(Item { reader: self.reader, marker }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

/// An object from behind its brace.
struct Keys<'a, 'de> {
    reader: &'a mut Reader<'de>,
}

impl<'de> MapAccess<'de> for Keys<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        if self.reader.passes(b'}') {
            return Ok(None);
        }
        let key = self.reader.string()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<V::Value> {
        seed.deserialize(&mut *self.reader)
    }
}

/// A value of an array, or one on its own when no type is declared.
struct Item<'a, 'de> {
    reader: &'a mut Reader<'de>,
    marker: Option<u8>,
}

impl<'de> de::Deserializer<'de> for Item<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let marker = self.marker.map_or_else(|| self.reader.byte(), Ok)?;
        self.reader.value(marker, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.marker.is_none() && self.reader.passes(b'Z') { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        Item { reader: self, marker: None }.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        Item { reader: self, marker: None }.deserialize_option(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
