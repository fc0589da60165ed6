//! Rows as people write them: `{"column": value, …}`, strings and nulls included.
//!
//! `{"rows": [{…}, …]}` asks for predictions of rows; with a string `id` in each row it stores features by entity id (so no
//! feature can be called `id`). What a column must hold is the model's affair, not known here.

use std::{borrow::Cow, collections::BTreeMap};

use contract::Value;

use super::{Result, WireError, infer::Seen, reader::Reader};

/// One row: values by column.
pub type Row = BTreeMap<String, Value>;

/// Reads `{"rows": [{column: value, …}, …], "explain": true}`; gives the rows, and whether the answer shall be explained.
///
/// # Errors
/// [`WireError`], saying what was expected where and what came.
pub fn decode_rows(body: &[u8]) -> Result<(Vec<Row>, bool)> {
    let mut explain = false;
    let rows = rows_and(
        body,
        &["rows", "explain"],
        |reader| {
            let mut rows = Vec::new();
            reader.array("an array of rows as 'rows'", |reader| {
                rows.push(read_row(reader)?);
                Ok(())
            })?;
            Ok(rows)
        },
        |reader| {
            explain = reader.boolean("true or false as 'explain'")?;
            Ok(())
        },
    )?;
    Ok((rows, explain))
}

/// Reads `{"rows": [{"id": "entity", column: value, …}, …]}`.
///
/// # Errors
/// [`WireError`], saying what was expected where and what came.
pub fn decode_entity_rows(body: &[u8]) -> Result<Vec<(String, Row)>> {
    rows_and(
        body,
        &["rows"],
        |reader| {
            let mut rows: Vec<(String, Row)> = Vec::new();
            reader.array("an array of rows as 'rows'", |reader| {
                reader.peek();
                let offset = reader.offset();
                let mut row = read_row(reader)?;
                let wrong = |got: String| WireError::Unexpected {
                    offset,
                    expected: "a row with the entity's id as the string 'id'".to_owned(),
                    got,
                };
                match row.remove("id") {
                    Some(Value::Text(id)) => rows.push((id, row)),
                    Some(other) => return Err(wrong(format!("'id' {other}"))),
                    None => return Err(wrong("a row without 'id'".to_owned())),
                }
                Ok(())
            })?;
            Ok(rows)
        },
        Reader::skip,
    )
}

/// Reads an object of the members `known`: `rows` by `read`, and the other one by `other`.
fn rows_and<'a, T>(
    body: &'a [u8],
    known: &'static [&'static str],
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T>,
    mut other: impl FnMut(&mut Reader<'a>) -> Result<()>,
) -> Result<T> {
    let mut reader = Reader::new(body);
    let mut seen = Seen::of(known);
    let mut rows = None;
    reader.object("an object with a member 'rows'", |reader, key| {
        only_known(reader, &key, known)?;
        seen.once(reader, &key)?;
        if key != "rows" {
            return other(reader);
        }
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
        let body = br#"{"explain":true,"rows":[{"a":1,"b":2.5,"c":"x","d":null,"e":true,"f":NaN},{}]}"#;
        let (rows, explain) = decode_rows(body).unwrap();
        assert!(explain);
        assert!(!decode_rows(br#"{"rows":[]}"#).unwrap().1);
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
        let rows = decode_entity_rows(br#"{"rows":[{"id":"w1","a":1},{"b":null,"id":"w2"}]}"#).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], ("w1".to_owned(), Row::from([("a".to_owned(), Value::Int(1))])));
        assert_eq!(rows[1], ("w2".to_owned(), Row::from([("b".to_owned(), Value::Null)])));
    }

    #[test]
    fn refuses_what_is_not_rows() {
        let message = |body: &str| decode_rows(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(message("{}"), "request body: expected a member 'rows', got none");
        assert_eq!(message(r#"{"row":[]}"#), "request body, byte 7: expected a member 'rows' or 'explain', got 'row'");
        assert_eq!(
            message(r#"{"rows":[{"a":[1]}]}"#),
            "request body, byte 14: expected a number, a string, true, false or null, got an array"
        );
        assert_eq!(
            message(r#"{"rows":[{"a":1,"a":2}]}"#),
            "request body, byte 21: expected each column once in a row, got one twice"
        );
        let message = |body: &str| decode_entity_rows(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            message(r#"{"rows":[{"a":1}]}"#),
            "request body, byte 9: expected a row with the entity's id as the string 'id', got a row without 'id'"
        );
        assert!(message(r#"{"rows":[{"id":7}]}"#).ends_with("got 'id' 7"));
        assert!(decode_entity_rows(br#"{"rows":[]} x"#).is_err());
    }
}
