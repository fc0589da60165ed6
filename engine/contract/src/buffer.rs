//! Memory that travels between rooms: a 64-byte aligned byte buffer, and fixed-width rows inside one.

use bytemuck::{AnyBitPattern, NoUninit, Pod, Zeroable};

/// Bytes per alignment unit: one cache line, and one AVX-512 register.
const LINE: usize = 64;

#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// A growable byte buffer whose start is aligned to 64 bytes, so that it can be viewed as any numeric type
/// and read by vector instructions without a copy.
#[derive(Clone, Default)]
pub struct AlignedBuffer {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBuffer {
    /// An empty buffer that allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { lines: Vec::new(), len: 0 }
    }

    /// An empty buffer with room for `bytes` bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { lines: Vec::with_capacity(bytes.div_ceil(LINE)), len: 0 }
    }

    /// A buffer holding a copy of `values`.
    #[must_use]
    pub fn from_slice<T: NoUninit>(values: &[T]) -> Self {
        let mut buffer = Self::with_capacity(size_of_val(values));
        buffer.extend_from_slice(values);
        buffer
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the content and keeps the memory.
    pub const fn clear(&mut self) {
        self.len = 0;
    }

    /// Sets the length to `bytes`; new bytes are zero.
    pub fn resize(&mut self, bytes: usize) {
        let old = self.len;
        self.grow(bytes);
        self.len = bytes;
        if bytes > old {
            self.bytes_mut()[old..].fill(0);
        }
    }

    /// Appends one value in its little-endian memory form.
    #[inline]
    pub fn push<T: NoUninit>(&mut self, value: T) {
        self.extend_from_slice(std::slice::from_ref(&value));
    }

    /// Appends `values` in their memory form.
    #[inline]
    pub fn extend_from_slice<T: NoUninit>(&mut self, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let start = self.len;
        self.grow(start + bytes.len());
        self.len = start + bytes.len();
        self.bytes_mut()[start..].copy_from_slice(bytes);
    }

    /// The content as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The content as bytes, to write to.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }

    /// The content as numbers. A trailing part that does not fill a whole number is left out.
    #[must_use]
    pub fn as_slice<T: AnyBitPattern>(&self) -> &[T] {
        let whole = self.len - self.len % size_of::<T>();
        bytemuck::cast_slice(&self.bytes()[..whole])
    }

    /// The content as numbers, to write to. A trailing part that does not fill a whole number is left out.
    #[must_use]
    pub fn as_mut_slice<T: AnyBitPattern + NoUninit>(&mut self) -> &mut [T] {
        let whole = self.len - self.len % size_of::<T>();
        bytemuck::cast_slice_mut(&mut self.bytes_mut()[..whole])
    }

    fn grow(&mut self, bytes: usize) {
        let lines = bytes.div_ceil(LINE);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line([0; LINE]));
        }
    }
}

impl PartialEq for AlignedBuffer {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl std::fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuffer({} bytes)", self.len)
    }
}

/// Rows of one fixed width in bytes, one behind the other.
///
/// What a row's bytes mean is the model's affair: its [`Model::encode`](crate::Model::encode) writes them and its
/// [`Replica`](crate::Replica) reads them. The batcher only joins and splits blocks, so it serves every kind of model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowBlock {
    row_bytes: usize,
    data: AlignedBuffer,
}

impl RowBlock {
    /// An empty block of rows that are `row_bytes` wide.
    #[must_use]
    pub const fn new(row_bytes: usize) -> Self {
        Self { row_bytes, data: AlignedBuffer::new() }
    }

    /// Empties the block and sets the width of its rows, keeping the memory.
    pub const fn reset(&mut self, row_bytes: usize) {
        self.row_bytes = row_bytes;
        self.data.clear();
    }

    /// Width of a row in bytes.
    #[must_use]
    pub const fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Number of whole rows held.
    #[must_use]
    pub const fn rows(&self) -> usize {
        match self.data.len().checked_div(self.row_bytes) {
            Some(rows) => rows,
            None => 0,
        }
    }

    /// The rows' bytes, row-major.
    #[must_use]
    pub const fn data(&self) -> &AlignedBuffer {
        &self.data
    }

    /// The rows' bytes, row-major, to write to.
    pub const fn data_mut(&mut self) -> &mut AlignedBuffer {
        &mut self.data
    }

    /// Appends rows `range` of `other`.
    ///
    /// # Panics
    /// When the widths differ or the range ends beyond `other`: both are the caller's own blocks.
    pub fn append_rows(&mut self, other: &Self, range: std::ops::Range<usize>) {
        assert_eq!(self.row_bytes, other.row_bytes, "blocks of different row widths cannot be joined");
        let bytes = &other.data.bytes()[range.start * other.row_bytes..range.end * other.row_bytes];
        self.data.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_cache_line_and_keeps_what_was_pushed() {
        let mut buffer = AlignedBuffer::new();
        for i in 0..100 {
            buffer.push(i as f32);
        }
        assert_eq!(buffer.bytes().as_ptr() as usize % 64, 0);
        assert_eq!(buffer.as_slice::<f32>()[99], 99.0);
        assert_eq!(buffer.len(), 400);
    }

    #[test]
    fn resize_zeroes_bytes_of_an_earlier_use() {
        let mut buffer = AlignedBuffer::from_slice(&[u64::MAX; 4]);
        buffer.clear();
        buffer.resize(32);
        assert_eq!(buffer.as_slice::<u64>(), &[0; 4]);
    }

    #[test]
    fn joins_row_ranges() {
        let mut source = RowBlock::new(8);
        source.data_mut().extend_from_slice(&[1_f32, 2., 3., 4., 5., 6.]);
        let mut joined = RowBlock::new(8);
        joined.append_rows(&source, 1..3);
        joined.append_rows(&source, 0..1);
        assert_eq!(joined.rows(), 3);
        assert_eq!(joined.data().as_slice::<f32>(), &[3., 4., 5., 6., 1., 2.]);
    }
}
