//! Encoders: against scikit-learn, and properties over tables and requests of all kinds.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType as ArrowType, Field, Schema},
};
use contract::{Axis, Bitmap, ColumnKind, DataType, InputError, RowBlock, Strings, Tensor};
use models::table::{EncoderOptions, Encoders, NumericEncoding, Table, tensors};
use proptest::{collection::vec, option, prelude::*};

use crate::support::{all_rows, bits, data, names, read_csv};

const STANDARDISE: EncoderOptions =
    EncoderOptions { numeric: NumericEncoding::Standardise, least_category_rows: 1, most_categories: 64 };
const QUANTILES: EncoderOptions =
    EncoderOptions { numeric: NumericEncoding::QuantileNormal, least_category_rows: 2, most_categories: 3 };

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<_> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

fn numeric_table(values: &[f64]) -> Table {
    Table::from_batch(&batch(vec![("x", Arc::new(Float64Array::from(values.to_vec())))])).unwrap()
}

fn fit(table: &Table, rows: &[usize], options: &EncoderOptions) -> Encoders {
    Encoders::fit(table, &names(table), rows, options).unwrap()
}

fn encode(encoders: &Encoders, inputs: &[Tensor]) -> Result<Vec<f32>, InputError> {
    let mut block = RowBlock::default();
    let rows = encoders.encode_tensors(inputs, &mut block)?;
    assert_eq!((block.rows(), block.row_bytes()), (rows, encoders.width() * 4));
    Ok(block.data().as_slice().to_vec())
}

#[test]
fn scales_as_scikit_learn_does() {
    #[derive(serde::Deserialize)]
    struct Case {
        values: Vec<f64>,
        probes: Vec<f64>,
        normal: Vec<f64>,
        standard: Vec<f64>,
    }
    let cases: Vec<Case> = serde_json::from_slice(&fs_err::read(data("scaling_expected.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 4);
    for Case { values, probes, normal, standard } in cases {
        let table = numeric_table(&values);
        let probe_table = numeric_table(&probes);
        for (options, expected) in [(&QUANTILES, &normal), (&STANDARDISE, &standard)] {
            let encoded =
                fit(&table, &all_rows(&table), options).encode_table(&probe_table, &all_rows(&probe_table)).unwrap();
            for ((probe, got), expected) in probes.iter().zip(encoded).zip(expected) {
                let difference = (f64::from(got) - expected).abs();
                assert!(difference <= 3e-7 * expected.abs().max(1.0), "{options:?} {probe}: {got}, not {expected}");
            }
        }
    }
}

#[test]
fn lays_columns_out_as_documented() {
    let table =
        read_csv("n,b,c,d\n1,yes,p,1970-01-01\n3,no,p,1970-01-03\n,,,\n1,yes,q,1970-01-01\n3,no,p,1970-01-03\n")
            .unwrap();
    let encoders = fit(&table, &[0, 1, 3, 4], &STANDARDISE);
    // One number, one boolean, two categories, five of a date; no missing value in training.
    assert_eq!(encoders.width(), 1 + 1 + 2 + 5);
    let row = encoders.encode_table(&table, &[0]).unwrap();
    let tau = std::f64::consts::TAU;
    let thursday = [(tau * 3.0 / 7.0).sin() as f32, (tau * 3.0 / 7.0).cos() as f32];
    assert_eq!(row, [-1.0, 1.0, 1.0, 0.0, -1.0, 0.0, 1.0, thursday[0], thursday[1]]);
    // Missing without an indicator: the mean, the part that was true, the average category, the centre of the circles.
    assert_eq!(encoders.encode_table(&table, &[2]).unwrap(), [0.0, 0.5, 0.75, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]);

    let encoders = fit(&table, &all_rows(&table), &STANDARDISE);
    assert_eq!(encoders.width(), 2 + 2 + 3 + 6);
    let row = encoders.encode_table(&table, &[2]).unwrap();
    assert_eq!(row, [0.0, 1.0, 0.5, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn unseen_categories_go_to_the_bucket_of_rare_ones() {
    let table = read_csv("c,x\na,1\na,1\na,1\nb,1\nb,1\nc,1\nnew,1\n").unwrap();
    let options = EncoderOptions { least_category_rows: 2, most_categories: 64, ..STANDARDISE };
    let encoders = Encoders::fit(&table, &["c"], &[0, 1, 2, 3, 4, 5], &options).unwrap();
    let text = |text: &[u8]| {
        encode(&encoders, &[Tensor::from_strings("c", vec![1, 1], [text].into_iter().collect()).unwrap()])
    };
    assert_eq!(text(b"a").unwrap(), [1.0, 0.0, 0.0]);
    assert_eq!(text(b" b ").unwrap(), [0.0, 1.0, 0.0]);
    for unseen in [&b"c"[..], b"new", b"A", b"", b"NA", b"\xff\xfe", "\u{1f980}".as_bytes()] {
        assert_eq!(text(unseen).unwrap(), [0.0, 0.0, 1.0], "{unseen:?}");
    }
    // Only the most frequent ones have a place of their own.
    let options = EncoderOptions { least_category_rows: 1, most_categories: 1, ..STANDARDISE };
    let encoders = Encoders::fit(&table, &["c"], &all_rows(&table), &options).unwrap();
    assert_eq!(encoders.encode_table(&table, &[0, 3]).unwrap(), [1.0, 0.0, 0.0, 1.0]);
    // Without rare ones in training there is no bucket, and an unseen category is the average one.
    let encoders = Encoders::fit(&table, &["c"], &[0, 3, 4, 4], &STANDARDISE).unwrap();
    assert_eq!(encoders.encode_table(&table, &[6]).unwrap(), [0.75, 0.25]);
}

#[test]
fn a_constant_column_says_nothing() {
    let table = numeric_table(&[7.0, 7.0, 7.0, 8.0]);
    for options in [&STANDARDISE, &QUANTILES] {
        let encoders = fit(&table, &[0, 1, 2], options);
        assert_eq!(encoders.encode_table(&table, &all_rows(&table)).unwrap(), [0.0; 4]);
    }
}

#[test]
fn numbers_keep_double_precision_only_where_they_need_it() {
    let seconds = numeric_table(&[1.7e9, 1.7e9 + 1.0, 1.7e9 + 2.0]);
    let encoders = fit(&seconds, &[0, 1, 2], &STANDARDISE);
    let encoded = encoders.encode_table(&seconds, &[0, 1, 2]).unwrap();
    assert!((encoded[2] - encoded[0] - 2.0 * 1.224_744_9).abs() < 1e-6, "{encoded:?}");
    let inputs = encoders.inputs();
    assert_eq!((inputs[0].name.as_str(), inputs[0].datatype), ("x", DataType::Fp64));

    let table = numeric_table(&[0.1, 0.2, 0.3, 0.1]);
    let encoders = fit(&table, &[0, 1, 2, 3], &QUANTILES);
    let inputs = encoders.inputs();
    assert_eq!((inputs[0].name.as_str(), inputs[0].datatype), ("features", DataType::Fp32));
    // A value that training repeats is met to the bit in both precisions, where the encoder jumps.
    let single =
        encode(&encoders, &[Tensor::from_values("features", vec![3, 1], &[0.1_f32, 0.2, 0.3]).unwrap()]).unwrap();
    let double = encode(&encoders, &[Tensor::from_values("x", vec![3], &[0.1_f64, 0.2, 0.3]).unwrap()]).unwrap();
    assert_eq!(bits(&single), bits(&double));
    assert_eq!(bits(&single), bits(&encoders.encode_table(&table, &[0, 1, 2]).unwrap()));
}

#[test]
fn takes_numbers_in_every_type_and_both_forms() {
    let table = read_csv("a,b\n1,5\n2,6\n3,8\n").unwrap();
    let encoders = fit(&table, &[0, 1, 2], &STANDARDISE);
    let inputs = encoders.inputs();
    assert_eq!(inputs.len(), 1);
    assert_eq!((inputs[0].datatype, &inputs[0].shape), (DataType::Fp32, &vec![Axis::Batch, Axis::Fixed(2)]));
    let expected = encoders.encode_table(&table, &[0, 1, 2]).unwrap();
    macro_rules! check {
        ($($rust:ty),*) => {$(
            let all: [$rust; 6] = [1 as $rust, 5 as $rust, 2 as $rust, 6 as $rust, 3 as $rust, 8 as $rust];
            assert_eq!(encode(&encoders, &[Tensor::from_values("features", vec![3, 2], &all).unwrap()]).unwrap(), expected);
            let b = Tensor::from_values("b", vec![3, 1], &[5 as $rust, 6 as $rust, 8 as $rust]).unwrap();
            let a = Tensor::from_values("a", vec![3], &[1 as $rust, 2 as $rust, 3 as $rust]).unwrap();
            assert_eq!(encode(&encoders, &[b, a]).unwrap(), expected);
        )*};
    }
    check!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);
    let words: Strings = ["1", "5", "2.0", "6e0", " 3 ", "+8"].into_iter().collect();
    assert_eq!(encode(&encoders, &[Tensor::from_strings("features", vec![3, 2], words).unwrap()]).unwrap(), expected);
}

#[test]
fn a_missing_value_is_missing_however_it_is_sent() {
    let table = read_csv("a,b\n1,5\n,6\n3,8\n").unwrap();
    let encoders = fit(&table, &[0, 1, 2], &STANDARDISE);
    let expected = encoders.encode_table(&table, &[1]).unwrap();
    assert_eq!(expected[..2], [0.0, 1.0]);
    let mut gap = Bitmap::filled(0, true);
    gap.push(false);
    let b = || Tensor::from_values("b", vec![1], &[6_i32]).unwrap();
    for a in [
        Tensor::from_values("a", vec![1], &[f32::NAN]).unwrap(),
        Tensor::from_values("a", vec![1], &[f64::NAN]).unwrap(),
        Tensor::from_values("a", vec![1], &[77_i64]).unwrap().with_validity(gap).unwrap(),
        Tensor::from_strings("a", vec![1], ["null"].into_iter().collect()).unwrap(),
    ] {
        assert_eq!(encode(&encoders, &[a, b()]).unwrap(), expected);
    }
    let features = Tensor::from_values("features", vec![1, 2], &[f32::NAN, 6.0]).unwrap();
    assert_eq!(encode(&encoders, &[features]).unwrap(), expected);
}

#[test]
fn requests_that_do_not_fit_are_told_why() {
    let table = read_csv("a,c,d,b\n1,x,2026-05-01,yes\n2,y,2026-05-02,no\n").unwrap();
    let encoders = fit(&table, &[0, 1], &STANDARDISE);
    let strings =
        |name: &str, texts: &[&str]| Tensor::from_strings(name, vec![texts.len(), 1], texts.iter().collect()).unwrap();
    let number = |name: &str, value: f32| Tensor::from_values(name, vec![1, 1], &[value]).unwrap();
    let whole = || vec![number("a", 1.0), strings("c", &["x"]), strings("d", &["2026-05-01"]), number("b", 1.0)];
    assert!(encode(&encoders, &whole()).is_ok());
    let with = |place: usize, tensor: Tensor| {
        let mut inputs = whole();
        inputs[place] = tensor;
        inputs
    };
    for (inputs, message) in [
        (vec![], "input 'a' is missing; expected FP64 of shape [rows, 1]"),
        (whole()[..3].to_vec(), "input 'b' is missing; expected BOOL of shape [rows, 1]"),
        (with(0, number("z", 1.0)), "unexpected input 'z'; expected 'features', or the columns a, c, d, b"),
        (with(0, number("b", 1.0)), "input 'b' was sent more than once"),
        (with(1, number("c", 1.0)), "input 'c' has datatype FP32, expected BYTES"),
        (
            with(0, Tensor::from_values("a", vec![1, 2], &[1_i8, 2]).unwrap()),
            "input 'a' has shape [1, 2], expected [rows, 1] or [rows]",
        ),
        (
            with(0, Tensor::from_values("a", vec![], &[1_i8]).unwrap()),
            "input 'a' has shape [], expected [rows, 1] or [rows]",
        ),
        (with(1, strings("c", &["x", "y"])), "input 'c' has 2 rows, but input 'a' has 1"),
        (with(0, strings("a", &["one"])), "row 0, column 'a': expected a number, got 'one'"),
        (
            with(2, strings("d", &["soon"])),
            "row 0, column 'd': expected a date such as 2026-05-01 or 2026-05-01T12:30:00Z, got 'soon'",
        ),
        (with(3, number("b", 0.5)), "row 0, column 'b': expected true or false, got the number 0.5"),
        (vec![number("features", 1.0)], "input 'features' has shape [1, 1], expected [rows, 4]"),
        (
            vec![Tensor::from_values("features", vec![0, 4], &[0_f32; 0]).unwrap()],
            "expected at least one row, got none",
        ),
        (
            vec![Tensor::from_values("features", vec![1, 4], &[0_f32; 4]).unwrap()],
            "input 'features' has datatype FP32, expected BYTES",
        ),
    ] {
        assert_eq!(encode(&encoders, &inputs).unwrap_err().to_string(), message);
    }
    let half =
        Tensor::from_buffer("a", DataType::Fp16, vec![1], contract::AlignedBuffer::from_slice(&[0_u16])).unwrap();
    let error = encode(&encoders, &with(0, half)).unwrap_err().to_string();
    assert_eq!(error, "input 'a' has datatype FP16, expected FP32, FP64, an integer type, BOOL or BYTES");
}

#[test]
fn a_column_named_features_is_a_column() {
    let table = read_csv("features,b\n1,5\n2,6\n").unwrap();
    let encoders = fit(&table, &[0, 1], &STANDARDISE);
    assert_eq!(encoders.inputs().len(), 2);
    let column = Tensor::from_values("features", vec![1], &[1_f32]).unwrap();
    let b = Tensor::from_values("b", vec![1], &[5_f32]).unwrap();
    assert_eq!(encode(&encoders, &[b, column.clone()]).unwrap(), encoders.encode_table(&table, &[0]).unwrap());
    assert!(matches!(encode(&encoders, &[column]), Err(InputError::MissingInput { .. })));
}

#[test]
fn dates_in_requests_are_read_as_the_training_file_wrote_them() {
    let table = read_csv("d,x\n13/2/2011,1\n1/2/2011,2\n").unwrap();
    let encoders = Encoders::fit(&table, &["d"], &[0, 1], &STANDARDISE).unwrap();
    let first_of_february =
        Tensor::from_strings("d", vec![2], ["1/2/2011", "2011-02-01"].into_iter().collect()).unwrap();
    let encoded = encode(&encoders, &[first_of_february]).unwrap();
    let width = encoders.width();
    assert_eq!(encoded[..width], encoded[width..]);
    assert_eq!(encoded[..width], encoders.encode_table(&table, &[1]).unwrap());
    assert_eq!(encoders.inputs()[0].datatype, DataType::Bytes);
}

#[test]
fn fits_need_rows_and_columns() {
    let table = read_csv("a,b\n1,5\n2,6\n").unwrap();
    let message =
        |columns: &[&str], rows: &[usize]| Encoders::fit(&table, columns, rows, &STANDARDISE).unwrap_err().to_string();
    assert_eq!(message(&["a"], &[]), "expected at least one training row, got none");
    assert_eq!(message(&["a"], &[2]), "expected training rows below 2, got 2");
    assert_eq!(message(&["z"], &[0]), "column 'z': expected one of the table's columns a, b, got none of that name");
    assert_eq!(message(&["a", "a"], &[0]), "expected each column once, got 'a' again");
    assert_eq!(message(&[], &[0]), "expected at least one feature column, got none");
    let encoders = fit(&table, &[0], &STANDARDISE);
    assert!(encoders.encode_table(&table, &[2]).is_err());
}

#[test]
fn damaged_parameters_are_refused() {
    let table = read_csv("a,c\n1,x\n2,y\n3,x\n").unwrap();
    let good = serde_json::to_string(&fit(&table, &[0, 1, 2], &STANDARDISE)).unwrap();
    assert!(serde_json::from_str::<Encoders>(&good).is_ok());
    for (from, to) in [
        ("\"std\":0.816496580927726", "\"std\":0.0"),
        ("\"std\":0.816496580927726", "\"std\":-1.0"),
        ("\"std\":0.816496580927726", "\"std\":null"),
        ("\"name\":\"c\"", "\"name\":\"a\""),
        ("[\"x\",\"y\"]", "[\"x\",\"x\"]"),
        ("[\"x\",\"y\"]", "[\"x\"]"),
        ("\"rare\":false", "\"rare\":false,\"more\":1"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from} is not in {good}");
        assert!(serde_json::from_str::<Encoders>(&bad).is_err(), "{bad}");
    }
    let good = serde_json::to_string(&fit(&table, &[0, 1, 2], &QUANTILES)).unwrap();
    let bad = good.replace("[1.0,2.0,3.0]", "[1.0,3.0,2.0]");
    assert_ne!(bad, good);
    assert!(serde_json::from_str::<Encoders>(&bad).is_err());
}

/// Numbers of all sizes, the odd ones more often than chance would.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0_f64,
        2 => (0_i32..4).prop_map(f64::from),
        2 => any::<f64>(),
        1 => proptest::sample::select(vec![
            0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1.7e9, 3e38, 4e38
        ]),
    ]
}

/// Rows of one column of each kind.
type Row = (Option<f64>, Option<bool>, Option<String>, Option<i64>);

fn rows(least: usize) -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof![3 => "[a-d]", 1 => "\\PC{0,6}", 1 => Just("NA".to_owned()), 1 => Just(" a ".to_owned())];
    let time = prop_oneof![any::<i64>(), (-40_000_i64..40_000).prop_map(|day| day * 86_400_000_000)];
    vec((option::of(number()), option::of(any::<bool>()), option::of(text), option::of(time)), least..40)
}

fn mixed(rows: &[Row]) -> RecordBatch {
    let texts: StringArray = rows.iter().map(|row| row.2.as_deref()).collect();
    batch(vec![
        ("n", Arc::new(rows.iter().map(|row| row.0).collect::<Float64Array>())),
        ("b", Arc::new(rows.iter().map(|row| row.1).collect::<BooleanArray>())),
        ("c", Arc::new(texts)),
        ("d", Arc::new(rows.iter().map(|row| row.3).collect::<TimestampMicrosecondArray>())),
    ])
}

fn options() -> impl Strategy<Value = EncoderOptions> {
    prop_oneof![Just(STANDARDISE), Just(QUANTILES)]
}

proptest! {
    #[test]
    fn tables_batches_and_requests_give_the_same_finite_bits(rows in rows(1), training in 1_usize..40, options in options()) {
        let batch = mixed(&rows);
        let table = Table::from_batch(&batch).unwrap();
        let training: Vec<usize> = (0..training.min(rows.len())).collect();
        let encoders = fit(&table, &training, &options);
        let everything = all_rows(&table);
        let from_table = encoders.encode_table(&table, &everything).unwrap();
        prop_assert_eq!(from_table.len(), rows.len() * encoders.width());
        prop_assert!(from_table.iter().all(|value| value.is_finite()), "{:?}", from_table);

        let mut block = RowBlock::default();
        encoders.encode_batch(&batch, &mut block).unwrap();
        prop_assert_eq!(bits(block.data().as_slice()), bits(&from_table));
        let inputs = tensors(&batch, &encoders.columns()).unwrap();
        prop_assert_eq!(bits(&encode(&encoders, &inputs).unwrap()), bits(&from_table));

        let saved = serde_json::to_string(&encoders).unwrap();
        let opened: Encoders = serde_json::from_str(&saved).unwrap();
        prop_assert_eq!(&opened, &encoders);
        prop_assert_eq!(bits(&opened.encode_table(&table, &everything).unwrap()), bits(&from_table));
    }

    #[test]
    fn only_training_rows_are_learned_from(rows in rows(2), others in rows(1), options in options()) {
        let training: Vec<usize> = (0..rows.len() / 2).collect();
        let table = Table::from_batch(&mixed(&rows)).unwrap();
        let altered: Vec<Row> = rows[..training.len()].iter().chain(&others).cloned().collect();
        let altered = Table::from_batch(&mixed(&altered)).unwrap();
        prop_assert_eq!(fit(&table, &training, &options), fit(&altered, &training, &options));
    }

    #[test]
    fn any_features_are_encoded_to_finite_numbers(
        training in vec(number(), 1..30),
        sent in vec(prop_oneof![any::<f32>(), number().prop_map(|value| value as f32)], 1..30),
        options in options(),
    ) {
        let table = numeric_table(&training);
        let encoders = fit(&table, &all_rows(&table), &options);
        let single = Tensor::from_values("features", vec![sent.len(), 1], &sent).unwrap();
        let single = encode(&encoders, &[single]).unwrap();
        prop_assert!(single.iter().all(|value| value.is_finite()), "{:?}", single);
        let doubles: Vec<f64> = sent.iter().map(|value| f64::from(*value)).collect();
        let double = encode(&encoders, &[Tensor::from_values("x", vec![sent.len()], &doubles).unwrap()]).unwrap();
        prop_assert_eq!(bits(&single), bits(&double));
    }

    #[test]
    fn larger_numbers_are_encoded_no_smaller(training in vec(-100.0..100.0_f64, 2..60), mut probes in vec(-120.0..120.0_f64, 2..20), options in options()) {
        let table = numeric_table(&training);
        let encoders = fit(&table, &all_rows(&table), &options);
        probes.sort_by(f64::total_cmp);
        let probes = numeric_table(&probes);
        let encoded = encoders.encode_table(&probes, &all_rows(&probes)).unwrap();
        prop_assert!(encoded.windows(2).all(|pair| pair[0] <= pair[1] + 1e-6), "{:?}", encoded);
    }

    #[test]
    fn any_bytes_are_encoded_or_refused(texts in vec(vec(any::<u8>(), 0..12), 4)) {
        let table = read_csv("n,b,c,d\n1,yes,p,1970-01-01\n3,no,p,1970-01-03\n").unwrap();
        let encoders = fit(&table, &[0, 1], &QUANTILES);
        let row = Tensor::from_strings("features", vec![1, 4], texts.iter().collect()).unwrap();
        match encode(&encoders, &[row]) {
            Ok(encoded) => prop_assert!(encoded.iter().all(|value| value.is_finite())),
            Err(error) => prop_assert!(matches!(error, InputError::BadValue { row: 0, .. }), "{}", error),
        }
    }
}

#[test]
fn batches_may_lack_columns_or_have_others() {
    let table = read_csv("a,c\n1,x\n2,y\n").unwrap();
    let encoders = fit(&table, &[0, 1], &STANDARDISE);
    let mut block = RowBlock::default();
    let lacking = batch(vec![("a", Arc::new(Float64Array::from(vec![1.0])))]);
    let error = encoders.encode_batch(&lacking, &mut block).unwrap_err().to_string();
    assert_eq!(error, "input 'c' is missing; expected a categorical column of that name");
    let more = batch(vec![
        ("z", Arc::new(StringArray::from(vec!["?"]))),
        ("c", Arc::new(StringArray::from(vec!["x"]))),
        ("a", Arc::new(StringArray::from(vec!["1"]))),
    ]);
    assert_eq!(encoders.encode_batch(&more, &mut block).unwrap(), 1);
    assert_eq!(block.data().as_slice::<f32>(), encoders.encode_table(&table, &[0]).unwrap());
    let wrong =
        batch(vec![("c", Arc::new(Float64Array::from(vec![1.0]))), ("a", Arc::new(Float64Array::from(vec![1.0])))]);
    let error = encoders.encode_batch(&wrong, &mut block).unwrap_err().to_string();
    assert_eq!(error, "row 0, column 'c': expected a string, got the number 1");
    let kinds: Vec<ColumnKind> = encoders.columns().iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [ColumnKind::Numeric, ColumnKind::Categorical]);
    assert_eq!(table.batch().column(1).data_type(), &ArrowType::LargeUtf8);
}
