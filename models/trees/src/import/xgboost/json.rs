//! The text form. XGBoost writes `NaN` and `Infinity` as they are, which JSON does not have.

use std::borrow::Cow;

use super::schema::File;
use crate::{Error, Result};

pub(super) fn read(bytes: &[u8]) -> Result<File> {
    serde_json::from_slice(&quote_numbers(bytes)).map_err(|error| Error::content("a model in XGBoost's JSON", error))
}

/// The text with `NaN`, `Infinity` and `-Infinity` in quotes, where they stand for numbers. One pass; mostly no copy.
fn quote_numbers(text: &[u8]) -> Cow<'_, [u8]> {
    let mut quoted = Vec::new();
    // What of the text is in `quoted`.
    let mut copied = 0;
    let mut in_string = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = &text[at..];
        let word: &[u8] = match byte {
            b'"' => {
                in_string = !in_string;
                b"\""
            }
            // What is escaped ends no string.
            b'\\' if in_string => b"\\\\",
            _ if in_string => b"x",
            b'N' if rest.starts_with(b"NaN") => b"NaN",
            b'I' if rest.starts_with(b"Infinity") => b"Infinity",
            b'-' if rest.starts_with(b"-Infinity") => b"-Infinity",
            _ => b"x",
        };
        if word.len() > 2 {
            quoted.extend_from_slice(&text[copied..at]);
            quoted.push(b'"');
            quoted.extend_from_slice(word);
            quoted.push(b'"');
            copied = at + word.len();
        }
        at += word.len();
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    quoted.extend_from_slice(&text[copied..]);
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::quote_numbers;

    #[test]
    fn numbers_that_json_lacks_become_strings() {
        let cases = [
            (r#"{"NaN":[NaN, 1,-Infinity,Infinity]}"#, r#"{"NaN":["NaN", 1,"-Infinity","Infinity"]}"#),
            (r#"["\"NaN", "\\", NaN]"#, r#"["\"NaN", "\\", "NaN"]"#),
            (r#"["\\\"Infinity"#, r#"["\\\"Infinity"#),
            (r#"["\"#, r#"["\"#),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&quote_numbers(text.as_bytes())), expected);
        }
    }
}
