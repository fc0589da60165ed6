//! Named tensors: aligned numbers or strings, with an optional validity bitmap for missing values.

use crate::{AlignedBuffer, Bitmap, DataType, Element, InputError, Strings};

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
    pub fn from_buffer(
        name: &str,
        datatype: DataType,
        shape: Vec<usize>,
        buffer: AlignedBuffer,
    ) -> Result<Self, InputError> {
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
        let numbers =
            ("[xy]{1,2}", proptest::collection::vec(0_u8..3, 1..5), any::<bool>()).prop_map(|(name, values, gaps)| {
                let tensor = Tensor::from_values(&name, vec![values.len()], &values).unwrap();
                let mut validity = Bitmap::default();
                for value in &values {
                    validity.push(*value != 0);
                }
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
                for tensor in tensors {
                    tensor.append_key(&mut key);
                }
                key
            };
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }
    }
}
