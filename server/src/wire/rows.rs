//! Rows as people write them: `{"column": value, …}`, strings and nulls included.
//!
//! `{"rows": [{…}, …]}` asks for predictions of rows; `{"rows": {"entity": {…}, …}}` stores features by entity id. What a
//! column must hold is the model's affair, not known here.

use std::{borrow::Cow, collections::BTreeMap};

use contract::Value;

use super::{Result, WireError, infer::Seen, reader::Reader};

/// One row: values by column.
pub type Row = BTreeMap<String, Value>;

/// Reads `{"rows": [{column: value, …}, …]}`.
///
/// # Errors
/// [`WireError`], saying what was expected where and what came.
pub fn decode_rows(body: &[u8]) -> Result<Vec<Row>> {
    only_rows(body, |reader| {
        let mut rows = Vec::new();
        reader.array("an array of rows as 'rows'", |reader| {
            rows.push(read_row(reader)?);
            Ok(())
        })?;
        Ok(rows)
    })
}

/// Reads `{"rows": {"entity": {column: value, …}, …}}`.
///
/// # Errors
/// [`WireError`], saying what was expected where and what came.
pub fn decode_entity_rows(body: &[u8]) -> Result<Vec<(String, Row)>> {
    only_rows(body, |reader| {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        reader.object("an object of rows by entity id as 'rows'", |reader, entity| {
            let row = read_row(reader)?;
            let offset = reader.offset();
            match rows.insert(entity.into_owned(), row) {
                None => Ok(()),
                Some(_) => Err(WireError::Unexpected {
                    offset,
                    expected: "each entity once in 'rows'".to_owned(),
                    got: "one twice".to_owned(),
                }),
            }
        })?;
        Ok(rows.into_iter().collect())
    })
}

fn only_rows<'a, T>(body: &'a [u8], mut read: impl FnMut(&mut Reader<'a>) -> Result<T>) -> Result<T> {
    let mut reader = Reader::new(body);
    let mut seen = Seen::default();
    let mut rows = None;
    reader.object("an object with a member 'rows'", |reader, key| {
        only_known(reader, &key, &["rows"])?;
        seen.once(reader, &key)?;
        rows = Some(read(reader)?);
        Ok(())
    })?;
    reader.end()?;
    rows.ok_or_else(|| WireError::MissingMember { parent: "request body".to_owned(), key: "rows" })
}

/// Refuses a member that the form does not have: our own forms have no extensions, so it is a misspelling.
pub(super) fn only_known(reader: &Reader<'_>, key: &str, known: &[&str]) -> Result<()> {
    if known.contains(&key) {
        return Ok(());
    }
    let names: Vec<_> = known.iter().map(|name| format!("'{name}'")).collect();
    Err(WireError::Unexpected {
        offset: reader.offset(),
        expected: format!("a member {}", names.join(" or ")),
        got: format!("'{}'", super::reader::excerpt(key)),
    })
}

fn read_row(reader: &mut Reader<'_>) -> Result<Row> {
    let mut row = Row::new();
    reader.object("an object of values by column as a row", |reader, column: Cow<'_, str>| {
        let value = reader.value()?;
        match row.insert(column.into_owned(), value) {
            None => Ok(()),
            Some(_) => Err(WireError::Unexpected {
                offset: reader.offset(),
                expected: "each column once in a row".to_owned(),
                got: "one twice".to_owned(),
            }),
        }
    })?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows_with_every_kind_of_value() {
        let rows = decode_rows(br#"{"rows":[{"a":1,"b":2.5,"c":"x","d":null,"e":true,"f":NaN},{}]}"#).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["a"], Value::Int(1));
        assert_eq!(rows[0]["b"], Value::Float(2.5));
        assert_eq!(rows[0]["c"], Value::Text("x".to_owned()));
        assert_eq!(rows[0]["d"], Value::Null);
        assert_eq!(rows[0]["e"], Value::Bool(true));
        assert!(matches!(rows[0]["f"], Value::Float(value) if value.is_nan()));
        assert!(rows[1].is_empty());
    }

    #[test]
    fn reads_rows_by_entity() {
        let rows = decode_entity_rows(br#"{"rows":{"w1":{"a":1},"id":{"id":2}}}"#).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], ("id".to_owned(), Row::from([("id".to_owned(), Value::Int(2))])));
    }

    #[test]
    fn refuses_what_is_not_rows() {
        let message = |body: &str| decode_rows(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(message("{}"), "request body: expected a member 'rows', got none");
        assert_eq!(message(r#"{"row":[]}"#), "request body, byte 7: expected a member 'rows', got 'row'");
        assert_eq!(
            message(r#"{"rows":[{"a":[1]}]}"#),
            "request body, byte 14: expected a number, a string, true, false or null, got an array"
        );
        assert_eq!(message(r#"{"rows":[{"a":1,"a":2}]}"#), "request body, byte 21: expected each column once in a row, got one twice");
        assert!(decode_entity_rows(br#"{"rows":{"a":{},"a":{}}}"#).is_err());
        assert!(decode_entity_rows(br#"{"rows":{}} x"#).is_err());
    }
}
