//! A row of features, and its compact form on disk.
//!
//! The form: a version byte (1), the time of writing in microseconds since 1970 (i64, little-endian), the number of
//! values, then by name in ascending order: the name, a tag, the value. Numbers of things and lengths are LEB128. What is
//! read is checked at every step and nothing is allocated for a length that the bytes do not hold.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::Value;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// Everything known about one entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureRow {
    /// Features by name.
    pub values: BTreeMap<String, Value>,
    /// When the row was written, to the microsecond.
    pub updated_at: DateTime<Utc>,
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;

/// Writes a row to `out`, which is emptied first.
pub(super) fn encode(values: &BTreeMap<String, Value>, updated_at: DateTime<Utc>, out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
    out.extend_from_slice(&updated_at.timestamp_micros().to_le_bytes());
    put_number(out, values.len() as u64);
    for (name, value) in values {
        put_text(out, name);
        match value {
            Value::Null => out.push(NULL),
            Value::Bool(false) => out.push(FALSE),
            Value::Bool(true) => out.push(TRUE),
            Value::Int(value) => {
                out.push(INT);
                // Zigzag: small negative numbers stay short.
                put_number(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
            }
            Value::Float(value) => {
                out.push(FLOAT);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            Value::Text(text) => {
                out.push(TEXT);
                put_text(out, text);
            }
        }
    }
}

/// Reads a row; none when the bytes are not one.
pub(super) fn decode(bytes: &[u8]) -> Option<FeatureRow> {
    let mut reader = Reader(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let updated_at = DateTime::from_timestamp_micros(i64::from_le_bytes(reader.array()?))?;
    let count = reader.number()?;
    let mut values = Vec::with_capacity(usize::try_from(count).ok()?.min(reader.0.len()));
    for _ in 0..count {
        let name = reader.text()?;
        let value = match reader.byte()? {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            INT => {
                let zigzag = reader.number()?;
                Value::Int((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
            }
            FLOAT => Value::Float(f64::from_bits(u64::from_le_bytes(reader.array()?))),
            TEXT => Value::Text(reader.text()?),
            _ => return None,
        };
        values.push((name, value));
    }
    reader.0.is_empty().then(|| FeatureRow { values: values.into_iter().collect(), updated_at })
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The bytes not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok().map(str::to_owned)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any value, floats by their bits so that NaN and -0 are among them.
    pub(crate) fn values() -> impl Strategy<Value = BTreeMap<String, Value>> {
        let value = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            prop_oneof![any::<i64>(), -200..200_i64].prop_map(Value::Int),
            any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
            ".{0,20}".prop_map(Value::Text),
        ];
        proptest::collection::btree_map(".{0,8}", value, 0..8)
    }

    /// Equal to the bit, NaN included.
    pub(crate) fn same(a: &BTreeMap<String, Value>, b: &BTreeMap<String, Value>) -> bool {
        a.len() == b.len()
            && a.iter().zip(b).all(|((a_name, a), (b_name, b))| {
                a_name == b_name
                    && match (a, b) {
                        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
                        _ => a == b,
                    }
            })
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(values in values(), micros in -(1_i64 << 50)..1_i64 << 50) {
            let updated_at = DateTime::from_timestamp_micros(micros).unwrap();
            let mut bytes = vec![7; 3];
            encode(&values, updated_at, &mut bytes);
            let row = decode(&bytes).unwrap();
            prop_assert!(same(&row.values, &values), "{:?}", row);
            prop_assert_eq!(row.updated_at, updated_at);
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), None);
            }
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = bytes;
            decode(&bytes);
            bytes.splice(0..0, [VERSION, 0, 0, 0, 0, 0, 0, 0, 0]);
            decode(&bytes);
        }
    }

    #[test]
    fn is_compact() {
        let values = BTreeMap::from([("alcohol".to_owned(), Value::Float(9.4)), ("count".to_owned(), Value::Int(-3))]);
        let mut bytes = Vec::new();
        encode(&values, DateTime::UNIX_EPOCH, &mut bytes);
        assert_eq!(bytes.len(), 1 + 8 + 1 + (1 + 7 + 1 + 8) + (1 + 5 + 1 + 1));
    }

    #[test]
    fn refuses_other_versions_tags_and_numbers_that_are_too_long() {
        let with = |rest: &[u8]| decode(&[&[VERSION][..], &[0; 8], rest].concat());
        assert!(with(&[0]).is_some());
        assert!(with(&[1, 0, 6]).is_none());
        assert!(with(&[0xff; 12]).is_none());
        assert!(with(&[1, 1, 0xff, NULL]).is_none(), "a name is text");
        assert!(decode(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_none());
    }
}
