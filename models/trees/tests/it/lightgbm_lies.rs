//! `LightGBM` files that are cut, contradict themselves, or are none.

use trees::{Result, ensemble::Ensemble, import::lightgbm::read};

use crate::{
    golden::{bytes, data, names},
    mutate::{answers, mutate},
    random::Draw,
};

fn text(name: &str) -> String {
    String::from_utf8(bytes(data(&format!("lightgbm/{name}.txt")))).unwrap()
}

/// The model with the first line that begins so replaced, and without the sizes that would tell of it.
fn changed(name: &str, key: &str, line: &str) -> Result<Ensemble> {
    let mut done = false;
    let lines =
        text(name)
            .lines()
            .filter(|old| !old.starts_with("tree_sizes="))
            .map(|old| {
                if old.starts_with(key) && !std::mem::replace(&mut done, true) {
                    line.to_owned()
                } else {
                    old.to_owned()
                }
            })
            .collect::<Vec<_>>()
            .join("\n");
    assert!(done, "{name} has no {key}");
    read(lines.as_bytes())
}

const NUMBERS: &str = "4-missing-nan";

/// A model, the beginning of the line that is replaced, what stands there then, and the error.
const LIES: [(&str, &str, &str, &str); 34] = [
    (
        NUMBERS,
        "left_child=",
        "left_child=1 2 0 -4 -1",
        "expected in tree 0, a tree, in which one way leads to each node, got two ways to node 0",
    ),
    (
        NUMBERS,
        "left_child=",
        "left_child=1 2 7 -4 -1",
        "expected in tree 0, one of 5 splits or of 6 leaves as `left_child` of split 2, got 7",
    ),
    (
        NUMBERS,
        "right_child=",
        "right_child=1 2 3 -40 -1",
        "expected in tree 0, one of 5 splits or of 6 leaves as `right_child` of split 3, got -40",
    ),
    (
        NUMBERS,
        "left_child=",
        "left_child=-9223372036854775808 2 3 -4 -1",
        "expected in tree 0, one of 5 splits or of 6 leaves as `left_child` of split 0, got -9223372036854775808",
    ),
    (NUMBERS, "left_child=", "left_child=1 2", "expected in tree 0, 5 numbers as `left_child`, got 2"),
    (
        NUMBERS,
        "split_feature=",
        "split_feature=1 2 3 4 5",
        "expected in tree 0, a column below 5 as `split_feature` of split 4, got 5",
    ),
    (NUMBERS, "threshold=", "threshold=1 2 nan 4 5", "expected in tree 0, a number as `threshold` of split 2, got NaN"),
    (NUMBERS, "threshold=", "threshold=1 2 x 4 5", "expected in tree 0, a number as `threshold`, got `x`"),
    (
        NUMBERS,
        "decision_type=",
        "decision_type=2 2 2 2 12",
        "expected in tree 0, a missing type of 0 to 2 in `decision_type` of split 4, got 3",
    ),
    (
        NUMBERS,
        "decision_type=",
        "decision_type=2 1 2 2 2",
        "expected in tree 0, one of 0 category sets as `threshold` of split 1, got -1.0000000180025095e-35",
    ),
    (NUMBERS, "leaf_value=", "leaf_value=1 2 3", "expected in tree 0, 6 numbers as `leaf_value`, got 3"),
    (NUMBERS, "num_leaves=", "num_leaves=1000000000", "expected in tree 0, 1000000000 numbers as `leaf_value`, got 6"),
    (NUMBERS, "num_leaves=", "num_leaves=0", "expected in tree 0, at least one leaf as `num_leaves`, got 0"),
    (NUMBERS, "num_leaves=", "num_leaves=-1", "expected in tree 0, a number as `num_leaves`, got `-1`"),
    (NUMBERS, "leaf_count=", "leaf_count=1", "expected in tree 0, 6 numbers as `leaf_count`, got 1"),
    (
        NUMBERS,
        "max_feature_idx=",
        "max_feature_idx=1000000000000",
        "expected in the header, one `feature_names` more than 1000000000000, got 5",
    ),
    (
        NUMBERS,
        "max_feature_idx=",
        "max_feature_idx=18446744073709551615",
        "expected in the header, one `feature_names` more than 18446744073709551615, got 5",
    ),
    (NUMBERS, "feature_infos=", "feature_infos=none none", "expected in the header, 5 `feature_infos`, got 2"),
    (
        NUMBERS,
        "feature_infos=",
        "feature_infos=none none a:b none none",
        "expected in the header, `none`, `[least:greatest]` or `code:code:…` in `feature_infos`, got `a:b`",
    ),
    (
        NUMBERS,
        "num_tree_per_iteration=",
        "num_tree_per_iteration=1000000000",
        "expected in the header, trees in numbers of 1000000000 (`num_tree_per_iteration`), got 6",
    ),
    (
        NUMBERS,
        "num_tree_per_iteration=",
        "num_tree_per_iteration=0",
        "expected in the header, trees in numbers of 0 (`num_tree_per_iteration`), got 6",
    ),
    (
        NUMBERS,
        "num_tree_per_iteration=",
        "num_tree_per_iteration=2",
        "expected in the header, one tree per iteration for the objective regression, got 2",
    ),
    (
        "4-multiclass",
        "objective=",
        "objective=multiclass num_class:4",
        "expected in the header, a tree per iteration for each of 4 classes, got 3",
    ),
    (
        "4-binary",
        "objective=",
        "objective=binary sigmoid:-1",
        "expected in the header, a number above 0 as `sigmoid` of the objective, got `-1`",
    ),
    (
        NUMBERS,
        "objective=",
        "objective=survival",
        "the objective `survival` (in the header) is not supported; remove the line `objective=` to serve the margins",
    ),
    (
        NUMBERS,
        "version=",
        "version=v9",
        "version v9 of LightGBM's text is not supported; load the model in LightGBM 4 and save it anew",
    ),
    (NUMBERS, "tree", "{", "expected a model of LightGBM, whose first line is `tree`, got `{`"),
    (NUMBERS, "end of parameters", "", "expected `end of parameters` behind `parameters:`, got the end of the file"),
    (
        "4-category",
        "cat_boundaries=",
        "cat_boundaries=0 1000000000000",
        "expected in tree 0, one number more than 4 as `cat_boundaries`, got 2",
    ),
    (
        "4-category",
        "cat_boundaries=",
        "cat_boundaries=0 1000000000000 3 4 5",
        "expected in tree 0, ascending numbers up to 6 as `cat_boundaries`, got 0 before 1000000000000",
    ),
    (
        "4-category",
        "cat_boundaries=",
        "cat_boundaries=0 3 1 4 5",
        "expected in tree 0, ascending numbers up to 6 as `cat_boundaries`, got 3 before 1",
    ),
    (
        "4-linear",
        "num_features=",
        "num_features=18446744073709551615 1 0 0 0 0",
        "expected in tree 0, as many `leaf_features` and `leaf_coeff` as `num_features` add up to, got 0 and 0",
    ),
    (
        "4-pandas",
        "pandas_categorical:",
        "pandas_categorical:[[\"a\",\"a\"]]",
        "expected each category once in `pandas_categorical`, got \"a\" twice",
    ),
    (
        "4-pandas",
        "pandas_categorical:",
        "pandas_categorical:[[0.5, 1]]",
        "the category 0.5 of `pandas_categorical` beside those of its column is not supported; make the categories all strings or all whole numbers before training",
    ),
];

#[test]
fn lies_are_named_with_their_place() {
    for (name, key, line, expected) in LIES {
        let error = changed(name, key, line).expect_err(line).to_string();
        assert_eq!(error, expected, "{line}");
    }
}

#[test]
fn a_category_beyond_all_codes_is_refused() {
    let mut words = vec!["0"; 1 << 19];
    words.push("1");
    let model = format!(
        "tree\nversion=v4\nnum_class=1\nmax_feature_idx=0\nfeature_names=a\n\nTree=0\nnum_leaves=2\nnum_cat=1\n\
         split_feature=0\nthreshold=0\ndecision_type=1\nleft_child=-1\nright_child=-2\nleaf_value=1 2\n\
         cat_boundaries=0 {}\ncat_threshold={}\n\nend of trees\n",
        words.len(),
        words.join(" ")
    );
    let error = read(model.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error,
        "a category of 16777216 or above (in tree 0) is not supported; number the categories from 0 on and train anew"
    );
}

#[test]
fn cut_files_are_refused() {
    for name in ["4-category", "4-linear", "3-multiclass", "2-forest"] {
        let whole = bytes(data(&format!("lightgbm/{name}.txt")));
        let end = text(name).find("end of trees").unwrap();
        // But for empty lines behind the last tree.
        for cut in (0..end - 4).step_by(7) {
            assert!(read(&whole[..cut]).is_err(), "{name} cut at {cut}");
        }
        for cut in (end..whole.len()).step_by(31) {
            drop(read(&whole[..cut]).map(|ensemble| ensemble.check().unwrap()));
        }
    }
}

#[test]
fn sizes_tell_of_edited_trees() {
    let longer = text("4-missing-nan").replacen("leaf_value=", "leaf_value=0", 1);
    let error = read(longer.as_bytes()).unwrap_err().to_string();
    assert!(
        error.starts_with("expected in the header, ") && error.contains("bytes of tree 0 (`tree_sizes`), got"),
        "{error}"
    );
}

#[test]
fn whatever_is_accepted_answers() {
    let mut draw = Draw::new(7);
    let mut accepted = 0;
    for name in names("lightgbm") {
        // The parameters are half of a file, and nothing follows from them.
        let text = text(&name);
        let (model, rest) = text.split_at(text.find("\nparameters:").unwrap_or(text.len()));
        let pandas = rest.rfind("pandas_categorical").map_or("", |at| &rest[at..]);
        let model = model.lines().filter(|line| !line.starts_with("tree_sizes=")).collect::<Vec<_>>().join("\n");
        let model = format!("{model}\n{pandas}");
        for _ in 0..60 {
            let Ok(ensemble) = read(&mutate(model.as_bytes(), &mut draw)) else { continue };
            answers(&ensemble);
            accepted += 1;
        }
    }
    assert!(accepted > 300, "{accepted} of the mutations were accepted");
}
