//! A pull parser for JSON over a byte slice.
//!
//! The grammar is that of RFC 8259 with three more numbers: `NaN`, `Infinity` and `-Infinity`. Strings are borrowed from
//! the body unless they hold escapes; numbers are handed out as their literal text, so that integers stay exact and a
//! float is rounded once, to the type it is wanted in. Every step moves forward or fails, so reading ends after the body
//! does; nesting is bounded, so no body can exhaust the stack.

use std::borrow::Cow;

use contract::Value;

use super::{Result, WireError};

/// Deepest nesting that is read.
pub(super) const MAX_DEPTH: usize = 100;

/// Reads one JSON document from the front.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// Bytes read so far.
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    /// Bytes not read yet: an upper bound for whatever is still to come.
    pub(super) const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The first byte of what comes next, white space left out.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                _ => return Some(*byte),
            }
        }
        None
    }

    /// Checks that nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the body")),
        }
    }

    /// Reads an object, handing each member's name to `member`, which must read its value.
    pub(super) fn object(
        &mut self,
        expected: &str,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>,
    ) -> Result<()> {
        self.open(b'{', expected)?;
        if self.peek() == Some(b'}') {
            return self.close();
        }
        loop {
            let key = self.string("a member name in quotes")?;
            match self.peek() {
                Some(b':') => self.at += 1,
                _ => return Err(self.unexpected("':'")),
            }
            member(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return self.close(),
                _ => return Err(self.unexpected("',' or '}'")),
            }
        }
    }

    /// Reads an array, calling `item` once for each item, which it must read.
    #[inline]
    pub(super) fn array(&mut self, expected: &str, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.open(b'[', expected)?;
        if self.peek() == Some(b']') {
            return self.close();
        }
        loop {
            item(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => return self.close(),
                _ => return Err(self.unexpected("',' or ']'")),
            }
        }
    }

    /// Reads a string.
    pub(super) fn string(&mut self, expected: &str) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        let start = self.at;
        self.plain_run()?;
        if self.bytes[self.at] == b'"' {
            let text = self.text(start, self.at)?;
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut text = self.text(start, self.at)?.to_owned();
        loop {
            // `plain_run` stopped at a quote or a backslash.
            if self.bytes[self.at] == b'"' {
                self.at += 1;
                return Ok(Cow::Owned(text));
            }
            text.push(self.escape()?);
            let start = self.at;
            self.plain_run()?;
            text.push_str(self.text(start, self.at)?);
        }
    }

    /// Reads a number, handing out its literal: a JSON number, `NaN`, `Infinity` or `-Infinity`.
    #[inline]
    pub(super) fn number(&mut self, expected: &str) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        let mut at = start;
        if byte(at) == b'-' {
            at += 1;
        }
        match byte(at) {
            b'0' => at += 1,
            b'1'..=b'9' => {
                while byte(at).is_ascii_digit() {
                    at += 1;
                }
            }
            b'I' if self.bytes[at..].starts_with(b"Infinity") => return self.literal(start, at + 8, expected),
            b'N' if at == start && self.bytes[at..].starts_with(b"NaN") => {
                return self.literal(start, at + 3, expected);
            }
            _ => return Err(self.unexpected(expected)),
        }
        if byte(at) == b'.' {
            at = digits(self.bytes, at + 1).ok_or_else(|| self.unexpected(expected))?;
        }
        if matches!(byte(at), b'e' | b'E') {
            at += 1;
            if matches!(byte(at), b'+' | b'-') {
                at += 1;
            }
            at = digits(self.bytes, at).ok_or_else(|| self.unexpected(expected))?;
        }
        self.literal(start, at, expected)
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self, expected: &str) -> Result<bool> {
        match self.peek() {
            Some(b't') if self.word(b"true") => Ok(true),
            Some(b'f') if self.word(b"false") => Ok(false),
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Reads `null` if that comes next.
    #[inline]
    pub(super) fn null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.word(b"null")
    }

    /// Reads a scalar.
    pub(super) fn value(&mut self) -> Result<Value> {
        const EXPECTED: &str = "a number, a string, true, false or null";
        Ok(match self.peek() {
            Some(b'"') => Value::Text(self.string(EXPECTED)?.into_owned()),
            Some(b't' | b'f') => Value::Bool(self.boolean(EXPECTED)?),
            Some(b'n') if self.null() => Value::Null,
            _ => {
                let offset = self.at;
                let literal = self.number(EXPECTED)?;
                match literal.parse::<i64>() {
                    Ok(integer) => Value::Int(integer),
                    Err(_) => Value::Float(finite_or_named::<f64>(literal).ok_or_else(|| WireError::Unexpected {
                        offset,
                        expected: "a number within the range of FP64".to_owned(),
                        got: excerpt(literal),
                    })?),
                }
            }
        })
    }

    /// Reads a value of any kind and forgets it.
    pub(super) fn skip(&mut self) -> Result<()> {
        const EXPECTED: &str = "a value";
        match self.peek() {
            Some(b'{') => self.object(EXPECTED, |reader, _| reader.skip()),
            Some(b'[') => self.array(EXPECTED, Self::skip),
            Some(b'"') => self.string(EXPECTED).map(drop),
            Some(b't' | b'f') => self.boolean(EXPECTED).map(drop),
            Some(b'n') if self.null() => Ok(()),
            _ => self.number(EXPECTED).map(drop),
        }
    }

    /// What comes next, in words, for messages; the reader does not move.
    pub(super) fn next_in_words(&mut self) -> String {
        match self.peek() {
            None => "the end of the body".to_owned(),
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "an array".to_owned(),
            Some(b'"') => match self.clone().string("") {
                Ok(text) => format!("the string \"{}\"", excerpt(&text)),
                Err(_) => "a string that does not end".to_owned(),
            },
            Some(b'n') if self.bytes[self.at..].starts_with(b"null") => "null".to_owned(),
            Some(b't') if self.bytes[self.at..].starts_with(b"true") => "true".to_owned(),
            Some(b'f') if self.bytes[self.at..].starts_with(b"false") => "false".to_owned(),
            Some(byte) => {
                let part = &self.bytes[self.at..];
                let end = part
                    .iter()
                    .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.'));
                match std::str::from_utf8(&part[..end.unwrap_or(part.len())]) {
                    Ok(word) if !word.is_empty() => format!("'{}'", excerpt(word)),
                    _ if byte.is_ascii_graphic() => format!("'{}'", char::from(byte)),
                    _ => format!("byte 0x{byte:02x}"),
                }
            }
        }
    }

    /// An error at the present place.
    pub(super) fn unexpected(&mut self, expected: &str) -> WireError {
        let got = self.next_in_words();
        WireError::Unexpected { offset: self.at, expected: expected.to_owned(), got }
    }

    fn open(&mut self, bracket: u8, expected: &str) -> Result<()> {
        if self.peek() != Some(bracket) {
            return Err(self.unexpected(expected));
        }
        if self.depth == MAX_DEPTH {
            return Err(WireError::TooDeep { offset: self.at, limit: MAX_DEPTH });
        }
        self.at += 1;
        self.depth += 1;
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "ends a function that returns a result")]
    const fn close(&mut self) -> Result<()> {
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn literal(&mut self, start: usize, end: usize, expected: &str) -> Result<&'a str> {
        match std::str::from_utf8(&self.bytes[start..end]) {
            Ok(literal) => {
                self.at = end;
                Ok(literal)
            }
            Err(_) => Err(self.unexpected(expected)),
        }
    }

    /// Moves to the next quote or backslash.
    fn plain_run(&mut self) -> Result<()> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"' | b'\\') => return Ok(()),
                Some(0..0x20) | None => return Err(self.unexpected("the rest of a string, control characters escaped")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn text(&self, start: usize, end: usize) -> Result<&'a str> {
        std::str::from_utf8(&self.bytes[start..end]).map_err(|error| WireError::Unexpected {
            offset: start + error.valid_up_to(),
            expected: "UTF-8 text".to_owned(),
            got: format!("byte 0x{:02x}", self.bytes[start + error.valid_up_to()]),
        })
    }

    /// Reads the escape that starts at the present backslash.
    fn escape(&mut self) -> Result<char> {
        let start = self.at;
        self.at += 2;
        let character = match self.bytes.get(start + 1) {
            Some(b'"') => Some('"'),
            Some(b'\\') => Some('\\'),
            Some(b'/') => Some('/'),
            Some(b'b') => Some('\u{8}'),
            Some(b'f') => Some('\u{c}'),
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            Some(b't') => Some('\t'),
            Some(b'u') => self.unicode_escape(),
            _ => None,
        };
        character.ok_or_else(|| {
            let shown = &self.bytes[start..self.bytes.len().min(start + 6)];
            let got = format!("'{}'", String::from_utf8_lossy(shown));
            WireError::Unexpected { offset: start, expected: "an escape that JSON has".to_owned(), got }
        })
    }

    /// Reads the four digits behind `\u`, and the second half of a surrogate pair.
    fn unicode_escape(&mut self) -> Option<char> {
        let first = self.four_hex_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        if !self.word_at(b"\\u") {
            return None;
        }
        let second = self.four_hex_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn word_at(&mut self, word: &[u8]) -> bool {
        self.at <= self.bytes.len() && self.word(word)
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        let code = digits.iter().try_fold(0_u32, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))?;
        self.at += 4;
        Some(code)
    }
}

/// The end of a run of at least one digit.
#[inline]
fn digits(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = bytes.get(start..)?;
    let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    (count > 0).then_some(start + count)
}

/// A float from its literal; none when it is too large for the type. `Infinity` itself is not too large.
#[inline]
pub(super) fn finite_or_named<T: std::str::FromStr + Into<f64> + Copy>(literal: &str) -> Option<T> {
    let value = literal.parse::<T>().ok()?;
    (!Into::<f64>::into(value).is_infinite() || literal.ends_with("Infinity")).then_some(value)
}

/// The start of a text, for messages.
pub(super) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 32;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(text: &str, read: impl FnOnce(&mut Reader<'_>) -> Result<T>) -> Result<T, String> {
        let mut reader = Reader::new(text.as_bytes());
        read(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_what_json_takes_and_nothing_else() {
        let good = [
            "{}",
            "[]",
            " [ 1 , -0 , 0.5e+3 , 1E5 ] ",
            r#"{"a":{"b":[true,false,null,"c"]}}"#,
            "NaN",
            "-Infinity",
            "Infinity",
            r#""\u00e9\ud83d\ude00\n\"\\\/""#,
        ];
        for text in good {
            assert_eq!(read(text, |reader| reader.skip()), Ok(()), "{text}");
        }
        let bad = [
            "",
            "{",
            "[",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\"}",
            "[1 2]",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "-NaN",
            "nan",
            "inf",
            "tru",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\\u12\"",
            "\"a\nb\"",
            "1 1",
            "\"\\",
            "\"\\u",
        ];
        for text in bad {
            assert!(read(text, |reader| reader.skip()).is_err(), "{text}");
        }
    }

    #[test]
    fn agrees_with_serde_json_on_strings() {
        for text in [r#""""#, r#""abc""#, r#""a\tbé\u0000\u00ff\uD83D\uDE00/\/""#, r#""\b\f\n\r\t\"\\""#] {
            let ours = read(text, |reader| reader.string("a string").map(Cow::into_owned)).unwrap();
            assert_eq!(ours, serde_json::from_str::<String>(text).unwrap());
        }
    }

    #[test]
    fn refuses_text_that_is_not_utf8() {
        let mut reader = Reader::new(b"\"ab\xffc\"");
        let error = reader.string("a string").unwrap_err().to_string();
        assert_eq!(error, "request body, byte 3: expected UTF-8 text, got byte 0xff");
    }

    #[test]
    fn bounds_nesting() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(read(&deep(MAX_DEPTH), |reader| reader.skip()), Ok(()));
        let error = read(&deep(MAX_DEPTH + 1), |reader| reader.skip()).unwrap_err();
        assert_eq!(error, "request body, byte 100: expected at most 100 levels of nesting, got more");
        assert!(read(&"[".repeat(1_000_000), |reader| reader.skip()).is_err());
    }

    #[test]
    fn values_keep_integers_exact() {
        assert_eq!(read("9007199254740993", |reader| reader.value()), Ok(Value::Int(9_007_199_254_740_993)));
        assert_eq!(read("1.0", |reader| reader.value()), Ok(Value::Float(1.0)));
        assert_eq!(read("-Infinity", |reader| reader.value()), Ok(Value::Float(f64::NEG_INFINITY)));
        assert!(read("1e999", |reader| reader.value()).unwrap_err().contains("within the range of FP64, got 1e999"));
    }

    #[test]
    fn messages_say_what_came() {
        let message = |text: &str| read(text, |reader| reader.string("a string").map(drop)).unwrap_err();
        assert_eq!(message("[1]"), "request body, byte 0: expected a string, got an array");
        assert_eq!(message(" 12.5x"), "request body, byte 1: expected a string, got '12.5x'");
        assert_eq!(message(""), "request body, byte 0: expected a string, got the end of the body");
        assert_eq!(message("}"), "request body, byte 0: expected a string, got '}'");
    }
}
