//! One cell of a row, wherever the row came from, and how it is read as a number, a boolean, a category or a date.
//!
//! The table, the streaming reader and a request's tensors all give cells, and encoders read nothing else: so the same
//! row is encoded to the same bits on every path. Nothing here allocates.

use std::borrow::Cow;

use contract::{ColumnKind, InputError};

use super::date;

/// Characters of a bad value that an error shows.
const SHOWN: usize = 40;

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// No value.
    Missing,
    /// A number; NaN is missing.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Microseconds since 1970-01-01, UTC.
    Time(i64),
    /// Text as it was sent: a number, boolean, date, category or missing mark.
    Text(&'a [u8]),
}

/// The cell cannot be read as the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit;

impl<'a> Cell<'a> {
    /// As a number; none when missing. Booleans are 0 and 1.
    #[inline]
    pub(crate) fn number(self) -> Result<Option<f64>, Unfit> {
        match self {
            Self::Number(value) => Ok(if value.is_nan() { None } else { Some(value) }),
            Self::Missing => Ok(None),
            Self::Boolean(value) => Ok(Some(f64::from(u8::from(value)))),
            Self::Text(text) => present(text).map(|text| parse_number(text).ok_or(Unfit)).transpose(),
            Self::Time(_) => Err(Unfit),
        }
    }

    /// As a boolean; none when missing. The numbers 0 and 1 are false and true.
    #[inline]
    pub(crate) fn boolean(self) -> Result<Option<bool>, Unfit> {
        match self {
            Self::Boolean(value) => Ok(Some(value)),
            Self::Missing => Ok(None),
            Self::Number(value) if value.is_nan() => Ok(None),
            Self::Number(0.0) => Ok(Some(false)),
            Self::Number(1.0) => Ok(Some(true)),
            Self::Text(text) => present(text)
                .map(|text| match text {
                    b"0" => Ok(false),
                    b"1" => Ok(true),
                    text => parse_boolean(text).ok_or(Unfit),
                })
                .transpose(),
            Self::Number(_) | Self::Time(_) => Err(Unfit),
        }
    }

    /// As a category without the space around it; none when missing.
    #[inline]
    pub(crate) fn category(self) -> Result<Option<&'a [u8]>, Unfit> {
        match self {
            Self::Text(text) => Ok(present(text)),
            Self::Missing => Ok(None),
            Self::Number(value) if value.is_nan() => Ok(None),
            Self::Number(_) | Self::Boolean(_) | Self::Time(_) => Err(Unfit),
        }
    }

    /// As microseconds since 1970-01-01, UTC; none when missing.
    #[inline]
    pub(crate) fn time(self, day_first: bool) -> Result<Option<i64>, Unfit> {
        match self {
            Self::Time(micros) => Ok(Some(micros)),
            Self::Text(text) => present(text).map(|text| date::parse(text, day_first).ok_or(Unfit)).transpose(),
            Self::Missing => Ok(None),
            Self::Number(value) if value.is_nan() => Ok(None),
            Self::Number(_) | Self::Boolean(_) => Err(Unfit),
        }
    }

    /// The cell in an error message.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Missing => "a missing value".to_owned(),
            Self::Number(value) => format!("the number {value}"),
            Self::Boolean(value) => format!("{value}"),
            Self::Time(micros) => format!("the date {}", date::Iso(micros)),
            Self::Text(text) => {
                let text: Cow<'_, str> = String::from_utf8_lossy(text);
                let mut shown: String = text.chars().take(SHOWN).collect();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                format!("'{shown}'")
            }
        }
    }

    /// The error of a cell that cannot be read as `kind`.
    #[cold]
    pub(crate) fn bad_value(self, row: usize, column: &str, kind: ColumnKind) -> InputError {
        InputError::BadValue {
            row,
            column: column.to_owned(),
            expected: expected(kind).to_owned(),
            got: self.describe(),
        }
    }
}

/// What a column of `kind` takes, for error messages.
pub(crate) const fn expected(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Numeric => "a number",
        ColumnKind::Boolean => "true or false",
        ColumnKind::Categorical => "a string",
        ColumnKind::Date => "a date such as 2026-05-01 or 2026-05-01T12:30:00Z",
    }
}

/// The text without the space around it; none when it marks a missing value.
#[inline]
pub(crate) fn present(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii();
    if is_missing(text) { None } else { Some(text) }
}

/// Whether trimmed text marks a missing value: nothing, `?`, `-`, and NA, N/A, #N/A, NaN, null and None in any case.
fn is_missing(text: &[u8]) -> bool {
    match text {
        [] | b"?" | b"-" => true,
        // The longest mark has four bytes: most text is decided by its length.
        [_, _] => text.eq_ignore_ascii_case(b"na"),
        [_, _, _] => text.eq_ignore_ascii_case(b"nan") || text.eq_ignore_ascii_case(b"n/a"),
        [_, _, _, _] => {
            text.eq_ignore_ascii_case(b"null")
                || text.eq_ignore_ascii_case(b"none")
                || text.eq_ignore_ascii_case(b"#n/a")
        }
        _ => false,
    }
}

/// Reads trimmed text as a number in the usual spellings, infinities included.
pub(crate) fn parse_number(text: &[u8]) -> Option<f64> {
    // `nan` is a missing mark, and words that only Rust reads as numbers are none here.
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let infinite = || unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity");
    if unsigned.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') || infinite() {
        std::str::from_utf8(text).ok()?.parse().ok()
    } else {
        None
    }
}

/// Reads trimmed text as true, false, yes or no in any case. 0 and 1 are numbers.
pub(crate) fn parse_boolean(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"yes") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"false") || text.eq_ignore_ascii_case(b"no") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_in_their_spellings_only() {
        for (text, value) in
            [("1", 1.0), ("+1.5", 1.5), ("-.5", -0.5), ("1e3", 1000.0), (" 7 ", 7.0), ("-inf", f64::NEG_INFINITY)]
        {
            assert_eq!(Cell::Text(text.as_bytes()).number(), Ok(Some(value)), "{text}");
        }
        for text in ["1,5", "0x10", "1_000", "one", "1e", ".", "--1", "1.2.3", "$1", "infinit"] {
            assert_eq!(Cell::Text(text.as_bytes()).number(), Err(Unfit), "{text}");
        }
    }

    #[test]
    fn missing_marks_are_missing_as_every_kind() {
        for text in ["", "  ", "?", "-", "NA", "na", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", " NA "] {
            let cell = Cell::Text(text.as_bytes());
            assert_eq!(cell.number(), Ok(None), "{text}");
            assert_eq!(cell.boolean(), Ok(None), "{text}");
            assert_eq!(cell.category(), Ok(None), "{text}");
            assert_eq!(cell.time(false), Ok(None), "{text}");
        }
        assert_eq!(Cell::Number(f64::NAN).number(), Ok(None));
        for text in ["unknown", "Nan a", "n", "nulls"] {
            assert_eq!(Cell::Text(text.as_bytes()).category(), Ok(Some(text.as_bytes())));
        }
    }

    #[test]
    fn booleans_read_words_and_bits() {
        assert_eq!(Cell::Text(b" YES").boolean(), Ok(Some(true)));
        assert_eq!(Cell::Text(b"False").boolean(), Ok(Some(false)));
        assert_eq!(Cell::Text(b"1").boolean(), Ok(Some(true)));
        assert_eq!(Cell::Number(0.0).boolean(), Ok(Some(false)));
        assert_eq!(Cell::Number(2.0).boolean(), Err(Unfit));
        assert_eq!(Cell::Text(b"maybe").boolean(), Err(Unfit));
    }

    #[test]
    fn bad_values_are_shown_short() {
        let long = "x".repeat(100);
        let error = Cell::Text(long.as_bytes()).bad_value(3, "age", ColumnKind::Numeric);
        assert_eq!(error.to_string(), format!("row 3, column 'age': expected a number, got '{}…'", "x".repeat(40)));
    }
}
