//! Real tables from the data folder beside the repository; skipped, with the reason printed, where there is none.

use contract::{ColumnKind, RowBlock, Task};
use models::table::{EncoderOptions, Encoders, Table, TableOptions, TableReader, TargetEncoder, split, tensors};

use crate::support::{all_rows, bits, names, shared};

fn read(name: &str) -> Option<(std::path::PathBuf, Table)> {
    let path = shared(&format!("data/tabular/{name}"))?;
    let table = Table::read(&path, &TableOptions::default()).unwrap();
    Some((path, table))
}

fn kind(table: &Table, name: &str) -> ColumnKind {
    table.columns()[table.column_index(name).unwrap()].kind
}

/// Fits on a split, and checks that table, stream and requests agree to the bit on all rows.
fn agree(path: &std::path::Path, table: &Table, target: &str) {
    let rows = table.present_rows(target).unwrap();
    let (training, validation) = split(&rows, 0.2, 1, None);
    assert_eq!(training.len() + validation.len(), rows.len());
    let features: Vec<String> = names(table).into_iter().filter(|name| name != target).collect();
    let encoders = Encoders::fit(table, &features, &training, &EncoderOptions::default()).unwrap();
    let from_table = encoders.encode_table(table, &all_rows(table)).unwrap();
    assert!(from_table.iter().all(|value| value.is_finite() && value.abs() < 1e3));
    let mut start = 0;
    for batch in TableReader::open(path, &TableOptions::default()).unwrap() {
        let batch = batch.unwrap();
        let end = start + batch.num_rows() * encoders.width();
        let mut block = RowBlock::default();
        encoders.encode_batch(&batch, &mut block).unwrap();
        assert_eq!(bits(block.data().as_slice()), bits(&from_table[start..end]));
        let inputs = tensors(&batch, &encoders.columns()).unwrap();
        encoders.encode_tensors(&inputs, &mut block).unwrap();
        assert_eq!(bits(block.data().as_slice()), bits(&from_table[start..end]));
        start = end;
    }
    assert_eq!(start, from_table.len());
}

#[test]
fn california_housing_has_missing_numbers_and_categories() {
    let Some((path, table)) = read("california_housing_handson.csv") else { return };
    assert_eq!(table.rows(), 20_640);
    assert_eq!(kind(&table, "ocean_proximity"), ColumnKind::Categorical);
    assert_eq!(kind(&table, "total_bedrooms"), ColumnKind::Numeric);
    assert_eq!(table.present_rows("total_bedrooms").unwrap().len(), 20_433);
    assert_eq!(TargetEncoder::infer_task(&table, "median_house_value", None).unwrap(), Task::Regression);
    agree(&path, &table, "median_house_value");
}

#[test]
fn bank_marketing_has_booleans() {
    let Some((path, table)) = read("bank_marketing.csv") else { return };
    assert_eq!(kind(&table, "housing"), ColumnKind::Boolean);
    assert_eq!(kind(&table, "job"), ColumnKind::Categorical);
    assert_eq!(kind(&table, "balance"), ColumnKind::Numeric);
    assert_eq!(TargetEncoder::infer_task(&table, "deposit", None).unwrap(), Task::Binary);
    agree(&path, &table, "deposit");
}

#[test]
fn bike_sharing_has_dates_with_the_month_first() {
    let Some((path, table)) = read("bike_sharing_hour.csv") else { return };
    assert_eq!(kind(&table, "dteday"), ColumnKind::Date);
    let day = table.column_index("dteday").unwrap();
    assert_eq!(table.value(table.rows() - 1, day), contract::Value::Text("2012-12-31".to_owned()));
    agree(&path, &table, "cnt");
}

#[test]
fn adult_has_no_header_and_that_is_said() {
    let Some(path) = shared("data/tabular/adult.data") else { return };
    let error = Table::read(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("expected a first line with column names, got a row with the value '39'"), "{error}");

    let content = fs_err::read_to_string(&path).unwrap();
    let header = "age,workclass,fnlwgt,education,education_num,marital,occupation,relationship,race,sex,gain,loss,hours,country,income\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("adult.csv");
    fs_err::write(&path, format!("{header}{content}")).unwrap();
    let table = Table::read(&path, &TableOptions::default()).unwrap();
    assert_eq!(table.rows(), 32_561);
    assert_eq!(table.present_rows("workclass").unwrap().len(), 32_561 - 1_836, "'?' is missing");
    agree(&path, &table, "income");
}
