//! The text form. XGBoost writes `NaN` and `Infinity` as they are, which JSON does not have.

use std::borrow::Cow;

use super::schema::{File, INFINITY, MINUS_INFINITY, NAN};
use crate::{Error, Result};

pub(super) fn read(bytes: &[u8]) -> Result<File> {
    serde_json::from_slice(&spell_numbers(bytes)).map_err(|error| Error::content("a model in XGBoost's JSON", error))
}

/// The text with whole numbers in the place of `NaN`, `Infinity` and `-Infinity`, which [`Float`](super::schema::Float)
/// reads as these. Whole numbers, because a string in a number's place is an error to `serde_json` when it is asked for
/// an f32, and because no f32 is written so by XGBoost, which gives every one an exponent. One pass; mostly no copy.
fn spell_numbers(text: &[u8]) -> Cow<'_, [u8]> {
    let mut spelled = Vec::new();
    // What of the text is in `spelled`.
    let mut copied = 0;
    let mut in_string = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = &text[at..];
        let (length, number) = match byte {
            b'"' => {
                in_string = !in_string;
                (1, None)
            }
            // What is escaped ends no string.
            b'\\' if in_string => (2, None),
            _ if in_string => (1, None),
            b'N' if rest.starts_with(b"NaN") => (3, Some(NAN.to_string())),
            b'I' if rest.starts_with(b"Infinity") => (8, Some(INFINITY.to_string())),
            b'-' if rest.starts_with(b"-Infinity") => (9, Some(MINUS_INFINITY.to_string())),
            _ => (1, None),
        };
        if let Some(number) = number {
            spelled.extend_from_slice(&text[copied..at]);
            spelled.extend_from_slice(number.as_bytes());
            copied = at + length;
        }
        at += length;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    spelled.extend_from_slice(&text[copied..]);
    Cow::Owned(spelled)
}

#[cfg(test)]
mod tests {
    use super::spell_numbers;

    #[test]
    fn numbers_that_json_lacks_are_spelled_as_ones_that_it_has() {
        let cases = [
            (
                r#"{"NaN":[NaN, 1,-Infinity,Infinity]}"#,
                r#"{"NaN":[18446744073709551615, 1,-9223372036854775808,18446744073709551614]}"#,
            ),
            (r#"["\"NaN", "\\", NaN]"#, r#"["\"NaN", "\\", 18446744073709551615]"#),
            (r#"["\\\"Infinity"#, r#"["\\\"Infinity"#),
            (r#"["\"#, r#"["\"#),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&spell_numbers(text.as_bytes())), expected);
        }
    }
}
