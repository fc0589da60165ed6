//! Named tensors: aligned numbers or strings, with an optional validity bitmap for missing values.

use std::{fmt, str::FromStr};

use bytemuck::{AnyBitPattern, NoUninit};
use serde::{Deserialize, Serialize};

use crate::{AlignedBuffer, InputError};

/// Element types, by their Open Inference Protocol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum DataType {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

impl DataType {
    /// All element types.
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The protocol's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Bytes per element; none for strings, whose elements vary.
    #[must_use]
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DataType {
    type Err = String;

    /// Reads the protocol's name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|datatype| datatype.name()).collect();
            format!("unknown datatype '{text}'; expected one of {}", known.join(", "))
        })
    }
}

/// A Rust type that is the element of a tensor. Booleans are bytes of 0 and 1.
pub trait Element: AnyBitPattern + NoUninit {
    /// The element type that Rust values of this type are stored as.
    const DATATYPE: DataType;
}

macro_rules! elements {
    ($($rust:ty => $datatype:ident),*) => { $(impl Element for $rust { const DATATYPE: DataType = DataType::$datatype; })* };
}

elements!(u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64,
    f32 => Fp32, f64 => Fp64);

/// Strings as offsets into one run of bytes. They need not be UTF-8: the protocol's BYTES are any bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Strings {
    /// No strings.
    #[must_use]
    pub const fn new() -> Self {
        Self { ends: Vec::new(), bytes: Vec::new() }
    }

    /// Appends one string.
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    /// Number of strings.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String number `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    /// All strings, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// All strings' bytes, one behind the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Strings {
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        let mut strings = Self::new();
        for text in iter {
            strings.push(text.as_ref());
        }
        strings
    }
}

/// One bit per element: set where a value is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// `len` bits, all `value`.
    #[must_use]
    pub fn filled(len: usize, value: bool) -> Self {
        let mut bitmap = Self { words: vec![if value { u64::MAX } else { 0 }; len.div_ceil(64)], len };
        // Bits behind the end stay clear, so that bitmaps compare equal by their words.
        if value && !len.is_multiple_of(64) {
            if let Some(last) = bitmap.words.last_mut() {
                *last = (1 << (len % 64)) - 1;
            }
        }
        bitmap
    }

    /// Appends one bit.
    pub fn push(&mut self, value: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        self.words[self.len / 64] |= u64::from(value) << (self.len % 64);
        self.len += 1;
    }

    /// Number of bits.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no bit.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit number `index`; false beyond the end.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        index < self.len && self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// Number of set bits.
    #[must_use]
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The bits, 64 a word, the first in the lowest place.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Data {
    Fixed { datatype: DataType, buffer: AlignedBuffer },
    Bytes(Strings),
}

/// A named tensor, row-major. Its number of elements always is the product of its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    name: String,
    shape: Vec<usize>,
    data: Data,
    validity: Option<Bitmap>,
}

impl Tensor {
    /// A tensor of numbers.
    ///
    /// # Errors
    /// [`InputError::ElementCount`] when `values` does not hold as many elements as `shape` asks for.
    pub fn from_values<T: Element>(name: &str, shape: Vec<usize>, values: &[T]) -> Result<Self, InputError> {
        Self::from_buffer(name, T::DATATYPE, shape, AlignedBuffer::from_slice(values))
    }

    /// A tensor of fixed-size elements over a buffer that was filled by a decoder.
    ///
    /// # Errors
    /// [`InputError::ElementCount`] when the buffer does not hold as many elements as `shape` asks for, and for
    /// [`DataType::Bytes`], which has no fixed size.
    pub fn from_buffer(name: &str, datatype: DataType, shape: Vec<usize>, buffer: AlignedBuffer) -> Result<Self, InputError> {
        let got = datatype.size().map_or(0, |size| buffer.len() / size);
        let whole = datatype.size().is_some_and(|size| buffer.len().is_multiple_of(size));
        let expected = element_count(&shape);
        if expected != Some(got) || !whole {
            let expected = expected.unwrap_or(usize::MAX);
            return Err(InputError::ElementCount { name: name.to_owned(), shape, expected, got });
        }
        Ok(Self { name: name.to_owned(), shape, data: Data::Fixed { datatype, buffer }, validity: None })
    }

    /// A tensor of booleans.
    ///
    /// # Errors
    /// [`InputError::ElementCount`] when `values` does not hold as many elements as `shape` asks for.
    pub fn from_bools(name: &str, shape: Vec<usize>, values: &[bool]) -> Result<Self, InputError> {
        Self::from_buffer(name, DataType::Bool, shape, AlignedBuffer::from_slice(values))
    }

    /// A tensor of strings.
    ///
    /// # Errors
    /// [`InputError::ElementCount`] when there are not as many strings as `shape` asks for.
    pub fn from_strings(name: &str, shape: Vec<usize>, strings: Strings) -> Result<Self, InputError> {
        let expected = element_count(&shape);
        if expected != Some(strings.len()) {
            let (expected, got) = (expected.unwrap_or(usize::MAX), strings.len());
            return Err(InputError::ElementCount { name: name.to_owned(), shape, expected, got });
        }
        Ok(Self { name: name.to_owned(), shape, data: Data::Bytes(strings), validity: None })
    }

    /// The same tensor with missing values: element `i` is missing where bit `i` is clear.
    ///
    /// # Errors
    /// [`InputError::ElementCount`] when there are not as many bits as elements.
    pub fn with_validity(mut self, validity: Bitmap) -> Result<Self, InputError> {
        if validity.len() != self.len() {
            let (expected, got) = (self.len(), validity.len());
            return Err(InputError::ElementCount { name: self.name, shape: self.shape, expected, got });
        }
        self.validity = Some(validity);
        Ok(self)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape, the batch first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    #[must_use]
    pub const fn datatype(&self) -> DataType {
        match &self.data {
            Data::Fixed { datatype, buffer: _ } => *datatype,
            Data::Bytes(_) => DataType::Bytes,
        }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Fixed { datatype, buffer } => datatype.size().map_or(0, |size| buffer.len() / size),
            Data::Bytes(strings) => strings.len(),
        }
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of the first axis; 1 for a scalar.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The elements, when they are of type `T`. Booleans are read as `u8` by [`Tensor::bytes`].
    #[must_use]
    pub fn values<T: Element>(&self) -> Option<&[T]> {
        match &self.data {
            Data::Fixed { datatype, buffer } if *datatype == T::DATATYPE => Some(buffer.as_slice()),
            Data::Fixed { datatype: _, buffer: _ } | Data::Bytes(_) => None,
        }
    }

    /// The strings of a BYTES tensor.
    #[must_use]
    pub const fn strings(&self) -> Option<&Strings> {
        match &self.data {
            Data::Fixed { datatype: _, buffer: _ } => None,
            Data::Bytes(strings) => Some(strings),
        }
    }

    /// The elements' bytes, little-endian and row-major; none for strings.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.data {
            Data::Fixed { datatype: _, buffer } => Some(buffer.bytes()),
            Data::Bytes(_) => None,
        }
    }

    /// Bit `i` is clear where element `i` is missing; none when all are present.
    #[must_use]
    pub const fn validity(&self) -> Option<&Bitmap> {
        self.validity.as_ref()
    }

    /// Whether element `index` is present. NaN counts as present here; a table model reads it as missing.
    #[must_use]
    pub fn is_valid(&self, index: usize) -> bool {
        self.validity.as_ref().is_none_or(|validity| validity.get(index))
    }

    /// Appends everything that decides an answer to `key`, so that two tensors append the same bytes exactly when they
    /// are equal: name, element type, shape, elements and validity, each with its length.
    pub fn append_key(&self, key: &mut Vec<u8>) {
        let word = |key: &mut Vec<u8>, value: usize| key.extend_from_slice(&(value as u64).to_le_bytes());
        word(key, self.name.len());
        key.extend_from_slice(self.name.as_bytes());
        key.push(self.datatype() as u8);
        word(key, self.shape.len());
        for size in &self.shape {
            word(key, *size);
        }
        match &self.data {
            Data::Fixed { datatype: _, buffer } => key.extend_from_slice(buffer.bytes()),
            Data::Bytes(strings) => {
                for text in strings.iter() {
                    word(key, text.len());
                    key.extend_from_slice(text);
                }
            }
        }
        match &self.validity {
            None => key.push(0),
            Some(validity) => {
                key.push(1);
                for bits in validity.words() {
                    key.extend_from_slice(&bits.to_le_bytes());
                }
            }
        }
    }
}

/// Product of a shape; none when it overflows.
fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_elements_and_refuses_overflow() {
        assert!(Tensor::from_values("x", vec![2, 2], &[1_f32, 2., 3., 4.]).is_ok());
        for shape in [vec![3], vec![usize::MAX, 2, 2], vec![usize::MAX]] {
            assert!(matches!(
                Tensor::from_values("x", shape, &[1_f32, 2.]),
                Err(InputError::ElementCount { name: _, shape: _, expected: _, got: 2 })
            ));
        }
        assert!(Tensor::from_buffer("x", DataType::Fp32, vec![1], AlignedBuffer::from_slice(&[0_u8; 5])).is_err());
        assert!(Tensor::from_buffer("x", DataType::Bytes, vec![1], AlignedBuffer::from_slice(&[0_u8; 5])).is_err());
    }

    #[test]
    fn a_scalar_has_one_element_and_one_row() {
        let scalar = Tensor::from_values("x", vec![], &[7_i64]).unwrap();
        assert_eq!((scalar.len(), scalar.rows()), (1, 1));
    }

    #[test]
    fn reads_values_only_as_their_own_type() {
        let tensor = Tensor::from_bools("b", vec![2], &[true, false]).unwrap();
        assert_eq!(tensor.values::<u8>(), None);
        assert_eq!(tensor.bytes(), Some([1, 0].as_slice()));
    }

    fn tensor() -> impl Strategy<Value = Tensor> {
        let strings = proptest::collection::vec("[ab]{0,2}", 0..4)
            .prop_map(|texts| Tensor::from_strings("s", vec![texts.len()], texts.iter().collect()).unwrap());
        let numbers = ("[xy]{1,2}", proptest::collection::vec(0_u8..3, 1..5), any::<bool>()).prop_map(|(name, values, gaps)| {
            let tensor = Tensor::from_values(&name, vec![values.len()], &values).unwrap();
            let mut validity = Bitmap::default();
            values.iter().for_each(|value| validity.push(*value != 0));
            if gaps { tensor.with_validity(validity).unwrap() } else { tensor }
        });
        prop_oneof![strings, numbers]
    }

    proptest! {
        #[test]
        fn keys_are_equal_exactly_for_equal_requests(
            a in proptest::collection::vec(tensor(), 0..3),
            b in proptest::collection::vec(tensor(), 0..3),
        ) {
            let key = |tensors: &[Tensor]| {
                let mut key = Vec::new();
                tensors.iter().for_each(|tensor| tensor.append_key(&mut key));
                key
            };
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }

        #[test]
        fn bitmaps_keep_their_bits(bits in proptest::collection::vec(any::<bool>(), 0..200)) {
            let mut bitmap = Bitmap::default();
            bits.iter().for_each(|bit| bitmap.push(*bit));
            prop_assert!(bits.iter().enumerate().all(|(i, bit)| bitmap.get(i) == *bit));
            prop_assert!(!bitmap.get(bits.len()));
            prop_assert_eq!(bitmap.count_ones(), bits.iter().filter(|bit| **bit).count());
            prop_assert_eq!(Bitmap::filled(bits.len(), true).count_ones(), bits.len());
        }
    }
}
