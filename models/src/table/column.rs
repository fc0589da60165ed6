//! An Arrow column as cells: any flat Arrow type becomes numbers, booleans, times or text.

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, LargeStringArray, TimestampMicrosecondArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType},
    util::display::FormatOptions,
};
use contract::ColumnKind;

use super::cell::Cell;

/// What an Arrow type holds, for this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Numbers,
    Booleans,
    Times,
    Text,
}

impl Holds {
    /// What `data_type` holds.
    ///
    /// # Errors
    /// A sentence for nested columns and for types that are no feature.
    pub(crate) fn of(data_type: &DataType) -> Result<Self, String> {
        match data_type {
            DataType::Null
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float16
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal32(_, _)
            | DataType::Decimal64(_, _)
            | DataType::Decimal128(_, _)
            | DataType::Decimal256(_, _)
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Duration(_) => Ok(Self::Numbers),
            DataType::Boolean => Ok(Self::Booleans),
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Ok(Self::Times),
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView => Ok(Self::Text),
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::RunEndEncoded(_, values) => Self::of(values.data_type()),
            DataType::List(_)
            | DataType::ListView(_)
            | DataType::FixedSizeList(_, _)
            | DataType::LargeList(_)
            | DataType::LargeListView(_)
            | DataType::Struct(_)
            | DataType::Union(_, _)
            | DataType::Map(_, _) => Err(format!("expected a flat column, got the nested type {data_type}")),
            DataType::FixedSizeBinary(_) | DataType::Interval(_) => {
                Err(format!("expected numbers, booleans, dates or strings, got the type {data_type}"))
            }
        }
    }
}

/// A column's values in one of four forms.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    Numbers(Float64Array),
    Booleans(BooleanArray),
    Times(TimestampMicrosecondArray),
    Text(LargeStringArray),
}

impl Column {
    /// The values of `array`, cast where they have another form.
    ///
    /// # Errors
    /// A sentence for types that [`Holds::of`] refuses and for values out of range.
    pub(crate) fn from_arrow(array: &ArrayRef) -> Result<Self, String> {
        let holds = Holds::of(array.data_type())?;
        let cast = |to: &DataType| cast_safely(array, to);
        // A duration or a time of day is cast by way of its integer.
        let whole = |array: &ArrayRef| match array.data_type() {
            DataType::Time32(_) => cast_safely(array, &DataType::Int32),
            DataType::Time64(_) | DataType::Duration(_) => cast_safely(array, &DataType::Int64),
            _ => Ok(array.clone()),
        };
        Ok(match holds {
            Holds::Numbers => {
                Self::Numbers(cast_safely(&whole(array)?, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
            }
            Holds::Booleans => Self::Booleans(cast(&DataType::Boolean)?.as_boolean().clone()),
            Holds::Times => {
                // A time zone only says how a moment is shown; this cast drops it and keeps the moment.
                let micros = cast(&DataType::Timestamp(TimeUnit::Microsecond, None))?;
                Self::Times(micros.as_primitive::<TimestampMicrosecondType>().clone())
            }
            Holds::Text => Self::Text(cast(&DataType::LargeUtf8)?.as_string::<i64>().clone()),
        })
    }

    /// The cell in `row`.
    #[inline]
    pub(crate) fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Numbers(array) if array.is_valid(row) => Cell::Number(array.value(row)),
            Self::Booleans(array) if array.is_valid(row) => Cell::Boolean(array.value(row)),
            Self::Times(array) if array.is_valid(row) => Cell::Time(array.value(row)),
            Self::Text(array) if array.is_valid(row) => Cell::Text(array.value(row).as_bytes()),
            Self::Numbers(_) | Self::Booleans(_) | Self::Times(_) | Self::Text(_) => Cell::Missing,
        }
    }

    /// The kind of a column that is in its final form: text is categorical.
    pub(crate) const fn kind(&self) -> ColumnKind {
        match self {
            Self::Numbers(_) => ColumnKind::Numeric,
            Self::Booleans(_) => ColumnKind::Boolean,
            Self::Times(_) => ColumnKind::Date,
            Self::Text(_) => ColumnKind::Categorical,
        }
    }
}

/// Casts, and fails on a value that does not fit instead of making it missing.
fn cast_safely(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(array, to, &options).map_err(|error| error.to_string())
}
