//! True labels, one or many: `{"prediction": "id#row", "label": …}` or `{"entity": "id", "model": "name", "label": …}`.

use contract::Value;

use super::{Result, WireError, infer::Seen, reader::Reader, rows::only_known};

const MEMBERS: [&str; 4] = ["prediction", "entity", "model", "label"];

/// One label and what it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedbackEntry {
    /// A prediction id, with its row (`id#3`) or without (its first row); or none.
    pub prediction: Option<String>,
    /// An entity id, whose last prediction is meant; or none.
    pub entity: Option<String>,
    /// Narrows `entity` to predictions of one model.
    pub model: Option<String>,
    /// What turned out to be true.
    pub label: Value,
}

/// A body of labels: an answer has the same form.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedbackForm {
    /// One object.
    One(FeedbackEntry),
    /// An array of objects.
    Many(Vec<FeedbackEntry>),
}

/// Reads one label, or an array of them.
///
/// # Errors
/// [`WireError`], saying what was expected where and what came.
pub fn decode_feedback(body: &[u8]) -> Result<FeedbackForm> {
    let mut reader = Reader::new(body);
    let form = if reader.peek() == Some(b'[') {
        let mut entries = Vec::new();
        reader.array("an array of labels", |reader| {
            entries.push(read_entry(reader)?);
            Ok(())
        })?;
        FeedbackForm::Many(entries)
    } else {
        FeedbackForm::One(read_entry(&mut reader)?)
    };
    reader.end()?;
    Ok(form)
}

fn read_entry(reader: &mut Reader<'_>) -> Result<FeedbackEntry> {
    const EXPECTED: &str = "an object with 'label' and either 'prediction' or 'entity', or an array of them";
    reader.peek();
    let offset = reader.offset();
    let mut seen = Seen::of(&MEMBERS);
    let (mut prediction, mut entity, mut model, mut label) = (None, None, None, None);
    reader.object(EXPECTED, |reader, key| {
        only_known(reader, &key, &MEMBERS)?;
        seen.once(reader, &key)?;
        match key.as_ref() {
            "prediction" => prediction = Some(reader.string("a string as 'prediction'")?.into_owned()),
            "entity" => entity = Some(reader.string("a string as 'entity'")?.into_owned()),
            "model" => model = Some(reader.string("a string as 'model'")?.into_owned()),
            _ => label = Some(reader.value()?),
        }
        Ok(())
    })?;
    let label = label.ok_or_else(|| WireError::MissingMember { parent: "feedback".to_owned(), key: "label" })?;
    if prediction.is_some() == entity.is_some() {
        let got = if entity.is_some() { "both" } else { "neither" };
        let expected = "either 'prediction' or 'entity'".to_owned();
        return Err(WireError::Unexpected { offset, expected, got: got.to_owned() });
    }
    if prediction.is_some() && model.is_some() {
        let expected = "'model' beside 'entity' only".to_owned();
        return Err(WireError::Unexpected { offset, expected, got: "it beside 'prediction'".to_owned() });
    }
    Ok(FeedbackEntry { prediction, entity, model, label })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_and_many() {
        let one = decode_feedback(br#"{"prediction":"a#1","label":5}"#).unwrap();
        let entry =
            FeedbackEntry { prediction: Some("a#1".to_owned()), entity: None, model: None, label: Value::Int(5) };
        assert_eq!(one, FeedbackForm::One(entry));
        let many =
            decode_feedback(br#"[{"entity":"w","model":"m","label":"red"},{"entity":"w","label":null}]"#).unwrap();
        assert!(
            matches!(many, FeedbackForm::Many(entries) if entries.len() == 2 && entries[0].model.as_deref() == Some("m"))
        );
        assert_eq!(decode_feedback(b"[]"), Ok(FeedbackForm::Many(vec![])));
    }

    #[test]
    fn refuses_unclear_keys() {
        let message = |body: &str| decode_feedback(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            message(r#"{"label":1}"#),
            "request body, byte 0: expected either 'prediction' or 'entity', got neither"
        );
        assert_eq!(
            message(r#"{"prediction":"a","entity":"b","label":1}"#),
            "request body, byte 0: expected either 'prediction' or 'entity', got both"
        );
        assert_eq!(message(r#"{"prediction":"a"}"#), "feedback: expected a member 'label', got none");
        assert!(
            message(r#"{"id":"a"}"#)
                .contains("expected a member 'prediction' or 'entity' or 'model' or 'label', got 'id'")
        );
        assert!(decode_feedback(b"").is_err());
    }
}
