//! CSV: inference, missing values, refusals, and streaming in and out.

use std::collections::BTreeMap;

use contract::{ColumnKind, RowBlock, Value};
use models::{
    artifact::sha256_bytes,
    table::{EncoderOptions, Encoders, Table, TableOptions, TableReader, TableWriter},
};

use crate::support::{all_rows, bits, file, names, read_csv};

fn kinds(table: &Table) -> Vec<ColumnKind> {
    table.columns().iter().map(|column| column.kind).collect()
}

#[test]
fn infers_kinds_and_keeps_missing_values() {
    use ColumnKind::{Boolean, Categorical, Date, Numeric};
    let table = read_csv(concat!(
        "id,price,open,city,day,when,empty\n",
        "1,2.5,yes,Paris,2026-05-01,2026-05-01T12:30:00Z,\n",
        "2,NA,No,\"New York, NY\",2026/05/02,,NA\n",
        "3,1e3,?, Oslo ,,2026-05-01 12:30:15.5+02:00,\n",
        "4,,TRUE,null,2026-05-03,2026-05-02,\n",
    ))
    .unwrap();
    assert_eq!(kinds(&table), [Numeric, Numeric, Boolean, Categorical, Date, Date, Numeric]);
    assert_eq!(table.rows(), 4);
    let column = |index: usize| (0..4).map(|row| table.value(row, index)).collect::<Vec<_>>();
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(column(0), [Value::Int(1), Value::Int(2), Value::Int(3), Value::Int(4)]);
    assert_eq!(column(1), [Value::Float(2.5), Value::Null, Value::Int(1000), Value::Null]);
    assert_eq!(column(2), [Value::Bool(true), Value::Bool(false), Value::Null, Value::Bool(true)]);
    assert_eq!(column(3), [text("Paris"), text("New York, NY"), text("Oslo"), Value::Null]);
    assert_eq!(column(4), [text("2026-05-01"), text("2026-05-02"), Value::Null, text("2026-05-03")]);
    assert_eq!(
        column(5),
        [text("2026-05-01T12:30:00"), Value::Null, text("2026-05-01T10:30:15.500000"), text("2026-05-02")]
    );
    assert_eq!(column(6), [Value::Null, Value::Null, Value::Null, Value::Null]);
    let expected = BTreeMap::from([
        ("id".to_owned(), Value::Int(4)),
        ("open".to_owned(), Value::Bool(true)),
        ("day".to_owned(), text("2026-05-03")),
        ("when".to_owned(), text("2026-05-02")),
    ]);
    assert_eq!(table.record(3), expected);
    assert_eq!(table.value(4, 0), Value::Null);
    assert_eq!(table.value(0, 7), Value::Null);
}

#[test]
fn a_late_surprise_changes_the_kind_of_the_whole_column() {
    // Beyond any sample and beyond the first batch.
    let mut content = "a,b\n".to_owned();
    for row in 0..30_000 {
        content += &row.to_string();
        content += if row == 29_999 { ",surprise\n" } else { ",1\n" };
    }
    let table = read_csv(&content).unwrap();
    assert_eq!(kinds(&table), [ColumnKind::Numeric, ColumnKind::Categorical]);
    assert_eq!(table.value(29_999, 1), Value::Text("surprise".to_owned()));
    assert_eq!(table.value(29_998, 0), Value::Int(29_998));
}

#[test]
fn reads_other_delimiters_byte_order_marks_quotes_and_line_ends() {
    let expected = [Value::Float(1.5), Value::Text("x, \"y\"\nz".to_owned())];
    for content in [
        "a;b\n1.5;\"x, \"\"y\"\"\nz\"\n",
        "a\tb\r\n1.5\t\"x, \"\"y\"\"\nz\"\r\n",
        "\u{feff}a,b\n1.5,\"x, \"\"y\"\"\nz\"",
        "\" a \"|b\n1.5|\"x, \"\"y\"\"\nz\"\n\n",
    ] {
        let table = read_csv(content).unwrap();
        assert_eq!(names(&table), ["a", "b"], "{content:?}");
        assert_eq!([table.value(0, 0), table.value(0, 1)], expected, "{content:?}");
        assert_eq!(table.digest(), Some(sha256_bytes(content.as_bytes()).as_str()));
    }
}

#[test]
fn day_first_dates_are_told_by_the_column() {
    let table = read_csv("a,b\n1/2/2011,1/2/2011\n13/2/2011,2/13/2011\n").unwrap();
    assert_eq!(table.value(0, 0), Value::Text("2011-02-01".to_owned()));
    assert_eq!(table.value(0, 1), Value::Text("2011-01-02".to_owned()));
}

#[test]
fn kinds_can_be_told() {
    let (_directory, path) = file("t.csv", b"zip,y\n01234,1\n99999,0\n");
    let kinds = BTreeMap::from([("zip".to_owned(), ColumnKind::Categorical), ("y".to_owned(), ColumnKind::Boolean)]);
    let table = Table::read(&path, &TableOptions { delimiter: None, kinds }).unwrap();
    assert_eq!(table.value(0, 0), Value::Text("01234".to_owned()));
    assert_eq!(table.value(0, 1), Value::Bool(true));

    let kinds = BTreeMap::from([("zip".to_owned(), ColumnKind::Date)]);
    let error = Table::read(&path, &TableOptions { delimiter: None, kinds }).unwrap_err().to_string();
    assert!(error.contains("row 1, column 'zip': expected a date") && error.contains("'01234'"), "{error}");

    let kinds = BTreeMap::from([("zap".to_owned(), ColumnKind::Date)]);
    let error = Table::read(&path, &TableOptions { delimiter: None, kinds }).unwrap_err().to_string();
    assert!(error.starts_with("column 'zap': "), "{error}");
}

#[test]
fn refuses_what_is_no_table() {
    for (content, reason) in [
        ("".as_bytes(), "an empty file"),
        (b"\n\n", "an empty file"),
        (b"a,b\n", "at least one row"),
        (b"a,b\n1,2\n3\n", "line 3, expected 2 got 1"),
        (b"a,b\n1,2\n3,4,5\n", "line 3, expected 2 got 3"),
        (b"a,a\n1,2\n", "'a' twice"),
        (b"a,b\n1,\xff\n", "UTF-8"),
        (b"39, State-gov, 77516\n50, Private, 83311\n", "column names, got a row with the value '39'"),
        (b"5,2\n3,4\n", "column names, got a row with the value '5'"),
        (b"\x1f\x8b\x08\x00rest", "a gzip file"),
        (b"PK\x03\x04rest", "a zip file"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"PAR1 and nothing else PAR1", "Parquet"),
    ] {
        let (_directory, path) = file("t.csv", content);
        let error = Table::read(&path, &TableOptions::default()).unwrap_err().to_string();
        assert!(error.contains("t.csv") && error.contains(reason), "{content:?}: {error}");
    }
    let directory = tempfile::tempdir().unwrap();
    assert!(Table::read(directory.path(), &TableOptions::default()).is_err());
    let error = Table::read(&directory.path().join("absent.csv"), &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("absent.csv"), "{error}");
}

#[test]
fn headers_of_numbers_in_order_are_headers() {
    assert_eq!(names(&read_csv("0,1,2\n5,6,7\n").unwrap()), ["0", "1", "2"]);
    assert_eq!(names(&read_csv("1,2\n5,6\n").unwrap()), ["1", "2"]);
    assert_eq!(names(&read_csv(",2019,2020\n5,6,7\n").unwrap()), ["column_1", "2019", "2020"]);
    assert_eq!(names(&read_csv("name,city\nx,y\n").unwrap()), ["name", "city"]);
}

#[test]
fn streamed_text_is_encoded_to_the_bits_of_the_table() {
    let content = "x,b,c,d\n1.1,yes,p,1/13/2011\n,no,q,1/2/2011\nNA,?,,\n2.7,YES,p,2/2/2011 10:00\n1e9,no,zz,\n";
    let (_directory, path) = file("t.csv", content.as_bytes());
    let table = Table::read(&path, &TableOptions::default()).unwrap();
    let rows = all_rows(&table);
    let options = EncoderOptions { least_category_rows: 2, ..EncoderOptions::default() };
    let encoders = Encoders::fit(&table, &names(&table), &rows, &options).unwrap();
    let from_table = encoders.encode_table(&table, &rows).unwrap();
    let mut reader = TableReader::open(&path, &TableOptions::default()).unwrap();
    let batch = reader.next().unwrap().unwrap();
    let mut block = RowBlock::default();
    assert_eq!(encoders.encode_batch(&batch, &mut block).unwrap(), 5);
    assert_eq!(bits(block.data().as_slice()), bits(&from_table));
    assert!(reader.next().is_none());
    assert_eq!((reader.rows_read(), reader.fraction_read()), (5, 1.0));

    let tensors = models::table::tensors(&batch, &encoders.columns()).unwrap();
    assert_eq!(encoders.encode_tensors(&tensors, &mut block).unwrap(), 5);
    assert_eq!(bits(block.data().as_slice()), bits(&from_table));
}

#[test]
fn writes_what_it_reads() {
    let content = "x,c\n1.5,\"a, b\"\n,NA\n-0.1,\n";
    let (directory, path) = file("in.csv", content.as_bytes());
    for name in ["out.csv", "out.tsv", "out.parquet"] {
        let out = directory.path().join(name);
        fs_err::write(&out, "an older file").unwrap();
        let mut reader = TableReader::open(&path, &TableOptions::default()).unwrap();
        let mut writer = TableWriter::create(&out, reader.schema()).unwrap();
        for batch in reader.by_ref() {
            writer.write(&batch.unwrap()).unwrap();
        }
        assert_eq!(fs_err::read_to_string(&out).unwrap(), "an older file", "nothing is seen before it is finished");
        assert_eq!(writer.finish().unwrap(), 3);
        let kinds = BTreeMap::from([("x".to_owned(), ColumnKind::Numeric)]);
        let table = Table::read(&out, &TableOptions { delimiter: None, kinds }).unwrap();
        assert_eq!(table.value(2, 0), Value::Float(-0.1), "{name}");
        assert_eq!(table.value(0, 1), Value::Text("a, b".to_owned()), "{name}");
        assert_eq!(table.value(1, 0), Value::Null, "{name}");
    }
    assert_eq!(fs_err::read_to_string(directory.path().join("out.csv")).unwrap(), content);
}

#[test]
fn an_unfinished_table_is_not_seen() {
    let (directory, path) = file("in.csv", b"x\n1\n");
    let reader = TableReader::open(&path, &TableOptions::default()).unwrap();
    drop(TableWriter::create(&directory.path().join("out.csv"), reader.schema()).unwrap());
    let left: Vec<_> = fs_err::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["in.csv"]);
    assert!(TableWriter::create(directory.path(), reader.schema()).is_err());

    let empty = directory.path().join("empty.csv");
    assert_eq!(TableWriter::create(&empty, reader.schema()).unwrap().finish().unwrap(), 0);
    assert_eq!(fs_err::read_to_string(&empty).unwrap(), "x\n");
}
