use super::*;

fn skip(text: &str) -> Result<(), String> {
    let mut reader = Reader::new(text.as_bytes());
    reader.skip().and_then(|()| reader.end()).map_err(|error| error.to_string())
}

fn value(text: &str) -> Result<Value, String> {
    let mut reader = Reader::new(text.as_bytes());
    reader.value().and_then(|value| reader.end().map(|()| value)).map_err(|error| error.to_string())
}

fn string(text: &str) -> Result<String, String> {
    let mut reader = Reader::new(text.as_bytes());
    let read = reader.string("a string").map(Cow::into_owned);
    read.and_then(|text| reader.end().map(|()| text)).map_err(|error| error.to_string())
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
        assert_eq!(skip(text), Ok(()), "{text}");
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
        assert!(skip(text).is_err(), "{text}");
    }
}

#[test]
fn agrees_with_serde_json_on_strings() {
    for text in [r#""""#, r#""abc""#, r#""a\tbé\u0000\u00ff\uD83D\uDE00/\/""#, r#""\b\f\n\r\t\"\\""#] {
        let ours = string(text).unwrap();
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
    assert_eq!(skip(&deep(MAX_DEPTH)), Ok(()));
    let error = skip(&deep(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error, "request body, byte 100: expected at most 100 levels of nesting, got more");
    assert!(skip(&"[".repeat(1_000_000)).is_err());
}

#[test]
fn values_keep_integers_exact() {
    assert_eq!(value("9007199254740993"), Ok(Value::Int(9_007_199_254_740_993)));
    assert_eq!(value("1.0"), Ok(Value::Float(1.0)));
    assert_eq!(value("-Infinity"), Ok(Value::Float(f64::NEG_INFINITY)));
    assert!(value("1e999").unwrap_err().contains("within the range of FP64, got 1e999"));
}

#[test]
fn messages_say_what_came() {
    let message = |text: &str| string(text).unwrap_err();
    assert_eq!(message("[1]"), "request body, byte 0: expected a string, got an array");
    assert_eq!(message(" 12.5x"), "request body, byte 1: expected a string, got '12.5x'");
    assert_eq!(message(""), "request body, byte 0: expected a string, got the end of the body");
    assert_eq!(message("}"), "request body, byte 0: expected a string, got '}'");
}
