//! JSON as XGBoost writes it, without spaces. Its numbers are the shortest that give the same f32, with an exponent,
//! and there are NaN and infinities among them, which `serde_json` does not write.

use serde_json::Value;

pub(super) fn float(value: f32) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        format!("{value:E}")
    }
}

pub(super) fn floats(values: impl IntoIterator<Item = f32>) -> String {
    list(values.into_iter().map(float))
}

pub(super) fn integers<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    list(values.into_iter().map(|value| value.to_string()))
}

pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    let mut text = "[".to_owned();
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&item);
    }
    text.push(']');
    text
}

pub(super) fn object(entries: &[(&str, String)]) -> String {
    let mut text = "{".to_owned();
    for (index, (name, value)) in entries.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&quoted(name));
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}
