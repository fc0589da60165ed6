//! Parquet files as pyarrow writes them.

use contract::{ColumnKind, Value};
use models::table::{EncoderOptions, Encoders, Table, TableOptions, TableReader};

use crate::support::{all_rows, bits, data, file, names};

#[test]
fn reads_every_flat_type() {
    use ColumnKind::{Boolean, Categorical, Date, Numeric};
    let table = Table::read(&data("types.parquet"), &TableOptions::default()).unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    let moments = [text("2026-05-01T12:30:15"), Value::Null, text("1969-12-31T23:59:59")];
    let dates = [text("2026-05-01"), Value::Null, text("1969-12-31")];
    for (name, kind, values) in [
        ("int8", Numeric, [Value::Int(1), Value::Null, Value::Int(-3)]),
        ("uint64", Numeric, [Value::Int(1), Value::Null, Value::Float(9_007_199_254_740_992.0)]),
        ("float16", Numeric, [Value::Float(1.5), Value::Null, Value::Int(-2)]),
        ("float32", Numeric, [Value::Float(1.5), Value::Null, Value::Null]),
        ("decimal", Numeric, [Value::Float(1.5), Value::Null, Value::Float(-2.25)]),
        ("time", Numeric, [Value::Int(1000), Value::Null, Value::Int(3_600_000)]),
        ("duration", Numeric, [Value::Int(2), Value::Null, Value::Int(0)]),
        ("nothing", Numeric, [Value::Null, Value::Null, Value::Null]),
        ("bool", Boolean, [Value::Bool(true), Value::Null, Value::Bool(false)]),
        ("string", Categorical, [text("a"), Value::Null, text("b")]),
        ("large", Categorical, [text("a"), Value::Null, text("b")]),
        ("dictionary", Categorical, [text("x"), Value::Null, text("y")]),
        ("digits", Categorical, [text("01"), Value::Null, text("1")]),
        ("written_dates", Date, dates.clone()),
        ("date32", Date, dates),
        ("seconds", Date, moments.clone()),
        ("nanoseconds", Date, moments.clone()),
        ("zoned", Date, moments),
    ] {
        let index = table.column_index(name).unwrap();
        assert_eq!(table.columns()[index].kind, kind, "{name}");
        assert_eq!([0, 1, 2].map(|row| table.value(row, index)), values, "{name}");
    }
}

#[test]
fn streams_the_bits_of_the_table() {
    let path = data("types.parquet");
    let table = Table::read(&path, &TableOptions::default()).unwrap();
    let rows = all_rows(&table);
    let options = EncoderOptions { least_category_rows: 1, ..EncoderOptions::default() };
    let encoders = Encoders::fit(&table, &names(&table), &rows, &options).unwrap();
    let mut block = contract::RowBlock::default();
    let batch = TableReader::open(&path, &TableOptions::default()).unwrap().next().unwrap().unwrap();
    assert_eq!(encoders.encode_batch(&batch, &mut block).unwrap(), 3);
    assert_eq!(bits(block.data().as_slice()), bits(&encoders.encode_table(&table, &rows).unwrap()));
}

#[test]
fn refuses_nested_columns_and_damaged_files() {
    let error = Table::read(&data("nested.parquet"), &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("column 'tags': expected a flat column, got the nested type List"), "{error}");

    let bytes = fs_err::read(data("types.parquet")).unwrap();
    for length in [4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let (_directory, path) = file("cut.parquet", &bytes[..length]);
        let error = Table::read(&path, &TableOptions::default()).unwrap_err().to_string();
        assert!(error.contains("cut.parquet"), "{error}");
    }
    let (_directory, path) = file("text.parquet", b"a,b\n1,2\n");
    let error = Table::read(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("under the name of a Parquet file"), "{error}");
}
