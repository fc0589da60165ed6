//! What tensors are made of beside numbers: strings, and the bits that say which elements are present.

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
    #[must_use]
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
        if value
            && !len.is_multiple_of(64)
            && let Some(last) = bitmap.words.last_mut()
        {
            *last = (1 << (len % 64)) - 1;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bitmaps_keep_their_bits(bits in proptest::collection::vec(any::<bool>(), 0..200)) {
            let mut bitmap = Bitmap::default();
            for bit in &bits {
                bitmap.push(*bit);
            }
            prop_assert!(bits.iter().enumerate().all(|(i, bit)| bitmap.get(i) == *bit));
            prop_assert!(!bitmap.get(bits.len()));
            prop_assert_eq!(bitmap.count_ones(), bits.iter().filter(|bit| **bit).count());
            prop_assert_eq!(Bitmap::filled(bits.len(), true).count_ones(), bits.len());
        }
    }
}
