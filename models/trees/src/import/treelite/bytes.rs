//! Scalars and arrays of a checkpoint: little-endian, read where they lie.

use std::marker::PhantomData;

use crate::{Error, Result, ensemble::Precision};

/// The bytes that are not read yet.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Number of bytes that are not read yet.
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// `count` entries of `size` bytes.
    fn take(&mut self, count: u64, size: usize, field: &str) -> Result<&'a [u8]> {
        let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(size));
        let Some((taken, rest)) = bytes.and_then(|bytes| self.rest.split_at_checked(bytes)) else {
            return Err(Error::content(
                format!("{count} entries of {size} bytes in `{field}`"),
                format!("{} bytes before the end of the file", self.rest.len()),
            ));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn scalar<T: Scalar>(&mut self, field: &'static str) -> Result<T> {
        let bytes = self.take(1, T::SIZE, field)?;
        Array { field, bytes, scalar: PhantomData }.at(0)
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool> {
        flag(self.scalar::<u8>(field)?, || format!("`{field}`"))
    }

    /// A length, and as many entries.
    pub(super) fn array<T: Scalar>(&mut self, field: &'static str) -> Result<Array<'a, T>> {
        let count = self.scalar::<u64>(field)?;
        let bytes = self.take(count, T::SIZE, field)?;
        Ok(Array { field, bytes, scalar: PhantomData })
    }

    /// An array of the model's floating-point type.
    pub(super) fn floats(&mut self, field: &'static str, precision: Precision) -> Result<Floats<'a>> {
        Ok(match precision {
            Precision::F32 => Floats::F32(self.array(field)?),
            Precision::F64 => Floats::F64(self.array(field)?),
        })
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a str> {
        let bytes = self.array::<u8>(field)?.bytes;
        std::str::from_utf8(bytes).map_err(|error| Error::content(format!("UTF-8 in `{field}`"), error))
    }

    /// Passes over fields that later versions may add: a name, and bytes.
    pub(super) fn skip_optional(&mut self, field: &'static str) -> Result<()> {
        let count = self.scalar::<i32>(field)?;
        if count < 0 {
            return Err(Error::content(format!("0 or more in `{field}`"), count));
        }
        for _ in 0..count {
            self.array::<u8>(field)?;
            let size = self.scalar::<u64>(field)?;
            let entries = self.scalar::<u64>(field)?;
            let size = usize::try_from(size).map_err(|_| Error::content(format!("entries in `{field}`"), size))?;
            self.take(entries, size, field)?;
        }
        Ok(())
    }
}

/// A number that a checkpoint holds.
pub(super) trait Scalar: Copy {
    /// Bytes of one.
    const SIZE: usize;
    /// The number that `bytes` begin with.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

macro_rules! scalars {
    ($($number:ty),*) => {$(
        impl Scalar for $number {
            const SIZE: usize = size_of::<Self>();
            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().map(|bytes| Self::from_le_bytes(*bytes))
            }
        }
    )*};
}

scalars!(i8, u8, i32, u32, u64, f32, f64);

/// An array, decoded entry by entry.
pub(super) struct Array<'a, T> {
    field: &'static str,
    bytes: &'a [u8],
    scalar: PhantomData<T>,
}

impl<T: Scalar> Array<'_, T> {
    pub(super) const fn len(&self) -> usize {
        self.bytes.len() / T::SIZE
    }

    /// The entry at a place.
    pub(super) fn at(&self, place: usize) -> Result<T> {
        let bytes = place.checked_mul(T::SIZE).and_then(|start| self.bytes.get(start..));
        bytes.and_then(T::decode).ok_or_else(|| {
            Error::content(format!("entry {place} of `{}`", self.field), format!("{} entries", self.len()))
        })
    }

    /// This array, if it has as many entries.
    pub(super) fn counted(self, count: usize) -> Result<Self> {
        if self.len() == count {
            Ok(self)
        } else {
            Err(Error::content(format!("{count} entries of `{}`", self.field), self.len()))
        }
    }

    /// This array, if it is empty or has as many entries.
    pub(super) fn counted_if_any(self, count: usize) -> Result<Self> {
        if self.len() == 0 { Ok(self) } else { self.counted(count) }
    }
}

impl Array<'_, u8> {
    pub(super) fn flag(&self, place: usize) -> Result<bool> {
        flag(self.at(place)?, || format!("entry {place} of `{}`", self.field))
    }
}

fn flag(byte: u8, place: impl Fn() -> String) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Error::content(format!("0 or 1 as {}", place()), other)),
    }
}

/// An array of the model's floating-point type.
pub(super) enum Floats<'a> {
    F32(Array<'a, f32>),
    F64(Array<'a, f64>),
}

impl Floats<'_> {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::F32(array) => array.len(),
            Self::F64(array) => array.len(),
        }
    }

    pub(super) fn at(&self, place: usize) -> Result<f64> {
        match self {
            Self::F32(array) => array.at(place).map(f64::from),
            Self::F64(array) => array.at(place),
        }
    }

    pub(super) fn counted(self, count: usize) -> Result<Self> {
        Ok(match self {
            Self::F32(array) => Self::F32(array.counted(count)?),
            Self::F64(array) => Self::F64(array.counted(count)?),
        })
    }
}
