//! Ensembles in the project's own form.

use std::path::{Path, PathBuf};

use fs_err as fs;
use proptest::{prelude::*, test_runner::RngSeed};
use trees::{
    Ensemble, Error,
    ensemble::{
        Aggregate, Categories, CategoryRule, CategorySet, Column, ColumnKind, Feature, Leaves, LinearLeaf, Link,
        Missing, Node, Origin, Output, Precision, Rules, Split, Step, Task, Test, Tree,
    },
    import,
};

use crate::{
    random::{Shape, ensemble, shapes},
    support::shared,
};

/// One of every kind of column, step, test, missing value and leaf; and, one after the other, of what an ensemble has
/// only one of.
fn every_kind() -> Vec<Ensemble> {
    let kinds = [
        ColumnKind::Float,
        ColumnKind::Integer,
        ColumnKind::Boolean,
        ColumnKind::Category(Categories::Codes),
        ColumnKind::Category(Categories::Strings(vec!["blue".to_owned(), "größer".to_owned()])),
        ColumnKind::Category(Categories::Integers(vec![-1, i64::MAX])),
    ];
    let steps = [
        Step::Indicator(2.0),
        Step::Scale { offset: 0.5, scale: -3.0 },
        Step::Impute(7.0),
        Step::Missing(-1.0),
        Step::Binarize(0.1),
    ];
    let column = |(place, kind): (usize, ColumnKind)| Column { name: format!("f{place}"), kind };
    let asked = [
        (Test::Below(0.25), Missing::Left),
        (Test::AtMost(-0.0), Missing::Right),
        (Test::Equal(f64::INFINITY), Missing::AsZero),
        (Test::In(0), Missing::ZeroLeft),
        (Test::In(1), Missing::ZeroRight),
    ];
    let mut nodes = Vec::new();
    for (place, (test, missing)) in asked.into_iter().enumerate() {
        let place = place as u32;
        nodes.push(Node::Split(Split { feature: place, test, missing, right: 2 * place + 2 }));
        nodes.push(Node::Leaf(place));
    }
    nodes.push(Node::Leaf(5));
    let vector = Tree {
        covers: (0..nodes.len()).map(|node| node as f64).collect(),
        nodes,
        leaves: Leaves::Vector(Vec::new()),
        sets: vec![CategorySet::default(), [0, 31, 32, 70].into_iter().collect()],
        linear: Vec::new(),
    };
    let scalar = Tree {
        nodes: vec![Node::Leaf(0)],
        leaves: Leaves::Scalar { output: 1, values: vec![f64::NEG_INFINITY] },
        sets: Vec::new(),
        covers: Vec::new(),
        linear: vec![LinearLeaf { constant: 0.1, terms: vec![(3, -0.5)] }],
    };
    let links = [
        Link::Identity,
        Link::Logistic { alpha: 0.7 },
        Link::Softmax,
        Link::SoftmaxZero,
        Link::Probit,
        Link::Exp,
        Link::Softplus,
        Link::SignedSquare,
        Link::Hinge,
        Link::Isolation { ratio: 2.5 },
    ];
    let tasks = [Task::Regression, Task::Binary, Task::Multiclass, Task::Ranking, Task::Anomaly];
    let aggregates = [Aggregate::Sum, Aggregate::Mean(vec![2.0, 1.0]), Aggregate::Min, Aggregate::Max];
    let precisions = [Precision::F32, Precision::F64];
    let rules = [CategoryRule::Truncate, CategoryRule::TruncateNonNegative, CategoryRule::Exact];
    let one = |(place, link): (usize, Link)| {
        let sum = precisions[place / 2 % 2];
        let leaves = Leaves::Vector((0..12).map(|value| sum.round(f64::from(value) / 7.0)).collect());
        Ensemble {
            columns: kinds.clone().into_iter().enumerate().map(column).collect(),
            features: (0..6).map(|place| Feature { column: place, steps: steps[..place as usize].to_vec() }).collect(),
            rules: Rules { compare: precisions[place % 2], sum, category: rules[place % rules.len()] },
            trees: vec![Tree { leaves, ..vector.clone() }, scalar.clone()],
            output: Output {
                width: 2,
                aggregate: aggregates[place % aggregates.len()].clone(),
                start: vec![0.5, -0.5],
                scale: 3.0,
                bias: vec![1e-300, f64::MAX],
                link,
                task: tasks[place % tasks.len()],
                classes: vec!["no".to_owned(), "yes".to_owned()],
            },
            origin: Origin {
                format: "lightgbm".to_owned(),
                version: "v4".to_owned(),
                objective: "binary".to_owned(),
                parameters: [("num_leaves".to_owned(), "31".to_owned())].into(),
            },
        }
    };
    links.into_iter().enumerate().map(one).collect()
}

/// Every model that is here: golden files of each format, as far as they are no refused ones, and data beside the clone.
fn models() -> Vec<(String, Ensemble)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut models = Vec::new();
    for (format, extension) in [
        ("xgboost", "json"),
        ("xgboost", "ubj"),
        ("lightgbm", "txt"),
        ("catboost", "json"),
        ("onnx", "onnx"),
        ("treelite", "tl"),
    ] {
        let mut paths: Vec<_> = fs::read_dir(folder.join(format)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        let found = models.len();
        for path in &paths {
            models.extend(
                import::read(&fs::read(path).unwrap()).ok().map(|ensemble| (path.display().to_string(), ensemble)),
            );
        }
        let read = models.len() - found;
        assert!(read * 5 >= paths.len() * 4 && read >= 20, "{format}: {read} of {} {extension} files", paths.len());
    }
    if let Some(shared) = shared("data/golden") {
        for name in ["treelite_skl_rf.tl", "treelite_skl_hgb.tl", "treelite_xgb_json.tl"] {
            let ensemble = import::treelite::read(&fs::read(shared.join(name)).unwrap()).unwrap();
            models.push((name.to_owned(), ensemble));
        }
    }
    models.extend(every_kind().into_iter().map(|ensemble| ("every kind".to_owned(), ensemble)));
    models
}

#[test]
fn models_read_back_to_the_bit() {
    for (name, ensemble) in models() {
        let bytes = ensemble.to_bytes().unwrap();
        let back = Ensemble::from_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        // The bytes say it of all, equality but of models without NaN.
        let unequal = ensemble != ensemble.clone();
        assert!(unequal || back == ensemble, "{name}");
        assert_eq!(back.to_bytes().unwrap(), bytes, "{name}");
    }
}

#[test]
fn numbers_that_equality_does_not_tell_apart_keep_their_bits() {
    let mut ensemble = every_kind().remove(3);
    assert_eq!(ensemble.rules.sum, Precision::F64, "the least f64 is no f32");
    let bits = [0x7ff8_0000_0000_1234, 0xfff0_0000_0000_0001, (-0.0_f64).to_bits(), 1];
    ensemble.trees.truncate(1);
    let Leaves::Vector(values) = &mut ensemble.trees[0].leaves else { panic!("vectors") };
    for (value, bits) in values.iter_mut().zip(bits) {
        *value = f64::from_bits(bits);
    }
    let back = Ensemble::from_bytes(&ensemble.to_bytes().unwrap()).unwrap();
    let Leaves::Vector(values) = &back.trees[0].leaves else { panic!("vectors") };
    assert_eq!(values[..4].iter().map(|value| value.to_bits()).collect::<Vec<_>>(), bits);
}

/// The form follows from the types. Whoever changes one of them sees this fail, counts `FORM` up in
/// `ensemble/saved.rs`, and writes the file anew with `EMBERLINE_BLESS=1`.
#[test]
fn the_form_is_the_one_that_files_have() {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/saved/every_kind.bin");
    let mut written = Vec::new();
    for ensemble in every_kind() {
        let bytes = ensemble.to_bytes().unwrap();
        written.extend((bytes.len() as u32).to_le_bytes());
        written.extend(bytes);
    }
    if std::env::var_os("EMBERLINE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &written).unwrap();
    }
    assert!(fs::read(&path).unwrap() == written, "ensembles are encoded otherwise than files of this form are");
}

#[track_caller]
fn refused(expected: &str, bytes: &[u8]) {
    assert_eq!(Ensemble::from_bytes(bytes).expect_err("refused").to_string(), expected);
}

#[test]
fn what_is_no_saved_ensemble_is_refused() {
    let bytes = every_kind()[0].to_bytes().unwrap();
    refused("expected a saved ensemble, which begins with `EMBtrees`, got ``", b"");
    refused("expected a saved ensemble, which begins with `EMBtrees`, got `\\x7fELF`", b"\x7fELF");
    refused("expected 4 bytes of a saved ensemble's form, got 2 bytes", &bytes[..10]);
    let mut other = bytes.clone();
    other[8] = 9;
    refused(
        "form 9 of a saved ensemble (this is form 1) is not supported; import the model anew from its source",
        &other,
    );
    let mut longer = bytes.clone();
    longer.extend([0; 3]);
    refused("expected the end of the file behind the ensemble, got 3 more bytes", &longer);
    let mut unsound = every_kind().remove(0);
    unsound.trees[0].nodes[0] = Node::Leaf(3);
    refused("expected in tree 0, leaf 0 next, got leaf 3", &unsound.to_bytes().unwrap());
    // Lengths that nothing stands behind.
    let mut endless = bytes[..12].to_vec();
    endless.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(Ensemble::from_bytes(&endless), Err(Error::Content { .. })));
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    for (name, ensemble) in models() {
        let bytes = ensemble.to_bytes().unwrap();
        let step = (bytes.len() / 200).max(1);
        for end in (0..bytes.len()).step_by(step).chain(bytes.len() - 20..bytes.len()) {
            assert!(Ensemble::from_bytes(&bytes[..end]).is_err(), "{name} cut to {end} bytes");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn drawn_ensembles_read_back_to_the_bit(shape in shapes()) {
        let drawn = ensemble(&shape);
        let back = Ensemble::from_bytes(&drawn.to_bytes().unwrap()).unwrap();
        prop_assert_eq!(back, drawn);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, rng_seed: RngSeed::Fixed(2), ..ProptestConfig::default() })]

    /// Flips, cuts and splices: refused, or sound.
    #[test]
    fn a_damaged_file_is_refused_or_sound(
        kind in any::<prop::sample::Index>(),
        seed in 0..20_u64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        splice in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..40_usize)),
    ) {
        let (compare, sum) = (Precision::F64, Precision::F64);
        let size = Shape {
            seed, trees: 4, leaves: 12, features: 3, levels: 4, width: 2, vector: seed % 2 == 0, compare, sum, plain: false,
            linear: seed % 4 == 1, aggregate: 9,
        };
        let mut models = every_kind();
        models.push(ensemble(&size));
        let mut bytes = models.swap_remove(kind.index(models.len())).to_bytes().unwrap();
        for (place, byte) in flips {
            let place = 12 + place.index(bytes.len() - 12);
            bytes[place] = byte;
        }
        if let Some((from, to, count)) = splice {
            let from = 12 + from.index(bytes.len() - 12);
            let piece = bytes[from..(from + count).min(bytes.len())].to_vec();
            let to = 12 + to.index(bytes.len() - 12);
            let end = (to + count / 2).min(bytes.len());
            bytes.splice(to..end, piece);
        }
        if let Ok(ensemble) = Ensemble::from_bytes(&bytes) {
            prop_assert!(ensemble.check().is_ok());
            let answer = ensemble.answer(&vec![0.5; ensemble.columns.len()]);
            prop_assert_eq!(answer.len(), ensemble.output.width);
        }
    }
}
