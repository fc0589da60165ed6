//! Checkpoints that lie, are cut, or are damaged: an error, never a panic, and nothing unsound is let through.

use std::ops::Range;

use proptest::{prelude::*, test_runner::RngSeed};
use trees::{Ensemble, Error, import::treelite::read};

use crate::{
    checkpoint::{Arrays, Checkpoint, array, chain, sound},
    treelite::checkpoints,
};

/// What the checkpoint becomes when changed.
fn changed(change: impl FnOnce(&mut Checkpoint)) -> Result<Ensemble, Error> {
    let mut checkpoint = sound();
    change(&mut checkpoint);
    read(&checkpoint.bytes())
}

#[track_caller]
fn refused(expected: &str, change: impl FnOnce(&mut Checkpoint)) {
    let error = changed(change).expect_err("a lie").to_string();
    assert_eq!(error, expected);
}

#[test]
fn the_checkpoint_without_a_lie_is_read() {
    let ensemble = changed(|_| {}).unwrap();
    for (row, answer) in [([0.0, 5.0], 10.5), ([1.0, 4.0], 20.5), ([f64::NAN, f64::NAN], 20.5), ([1.5, 3.0], 30.5)] {
        assert_eq!(ensemble.answer(&row), [answer], "{row:?}");
    }
}

#[test]
fn lies_about_the_model_are_refused_by_name() {
    refused(
        "a checkpoint of treelite 3.9.0 is not supported; import the model into treelite 4 anew (it also loads checkpoints \
         of 3.9), and serialize it there",
        |c| c.version = [3, 9, 0],
    );
    refused("a checkpoint of treelite 5.0.0 is not supported; serialize the model with treelite 4", |c| {
        c.version = [5, 0, 0];
    });
    refused("expected a treelite checkpoint, which begins with version 4, got -7", |c| c.version[0] = -7);
    refused("expected 2 (float32) or 3 (float64) as both `threshold_type` and `leaf_output_type`, got 3 and 2", |c| {
        c.types = [3, 2];
    });
    refused("expected 1000000000 entries of `target_id`, got 1", |c| c.num_tree = 1_000_000_000);
    refused("expected the end of the file behind 0 trees, got 509 more bytes", |c| {
        c.num_tree = 0;
        c.target_id.clear();
        c.class_id.clear();
    });
    refused("expected a count in `num_feature`, got -1", |c| c.num_feature = -1);
    refused("expected at most 65536 as `num_feature` in a file of 647 bytes, got 2147483647", |c| {
        c.num_feature = i32::MAX;
    });
    refused("expected 0 to 4 as `task_type`, got 5", |c| c.task = 5);
    refused("expected 0 or 1 as `average_tree_output`, got 2", |c| c.average = 2);
    refused("expected 1000000000 entries of `num_class`, got 1", |c| c.num_target = 1_000_000_000);
    refused("expected entries of `base_scores` for 1 targets of 1000000000 classes, got 1", |c| {
        c.num_class = vec![1_000_000_000];
    });
    refused("expected at least one target in `num_target`, and one class in each `num_class`, got none", |c| {
        c.num_class = vec![0];
    });
    refused("expected in tree 0, a `leaf_vector_shape` of [1, 1] for target 0 and class 0, got [1, 3]", |c| {
        c.shape = vec![1, 3];
    });
    refused("expected in tree 0, -1, or an id below 1, in `target_id`, got 1", |c| c.target_id = vec![1]);
    refused("expected in tree 0, -1, or an id below 1, in `class_id`, got -2", |c| c.class_id = vec![-2]);
    refused(
        "expected in tree 0, in node 3, a `target_id` and a `class_id` for a tree with scalar leaves, got -1",
        |c| c.class_id = vec![-1],
    );
    refused("expected entries of `base_scores` for 1 targets of 1 classes, got 2", |c| c.base_scores.push(0.0));
    refused(
        "expected a JSON object in `attributes`, got invalid type: integer `7`, expected a map at line 1 column 1",
        |c| {
            c.attributes = "7".to_owned();
        },
    );
    refused("expected as many names in the attribute `feature_names` as the model has, got 1", |c| {
        c.attributes = r#"{"feature_names": ["one"]}"#.to_owned();
    });
    refused("expected 0 or more in `num_opt_field_per_model`, got -1", |c| c.optional = -1);
    refused("expected a tree for each target and class where `average_tree_output` is set, got none for one", |c| {
        c.average = 1;
        c.num_class = vec![2];
        c.base_scores.push(0.0);
    });
    refused("expected the end of the file behind 1 trees, got 3 more bytes", |c| c.behind = vec![0; 3]);
}

#[test]
fn postprocessors_are_refused_by_name() {
    refused(
        "treelite's postprocessor `max_index` is not supported; set `postprocessor` to `softmax`, as treelite 4 does, and take \
         the greatest probability",
        |c| c.postprocessor = "max_index".to_owned(),
    );
    let error = changed(|c| c.postprocessor = "tanh".to_owned()).unwrap_err();
    assert!(error.to_string().starts_with("treelite's postprocessor `tanh` is not supported; "), "{error}");
    refused("expected one class a target with postprocessor `sigmoid`, got 2", |c| {
        c.postprocessor = "sigmoid".to_owned();
        c.num_class = vec![2];
        c.base_scores.push(0.0);
    });
    refused("treelite's postprocessor `softmax` over several targets is not supported; save a model for each", |c| {
        c.postprocessor = "softmax".to_owned();
        c.num_target = 2;
        c.num_class = vec![1, 1];
        c.base_scores.push(0.0);
    });
    refused("expected a positive number as `sigmoid_alpha`, got NaN", |c| {
        c.postprocessor = "sigmoid".to_owned();
        c.sigmoid_alpha = f32::NAN;
    });
    refused("expected a positive number as `ratio_c`, got 0", |c| {
        c.postprocessor = "exponential_standard_ratio".to_owned();
        c.ratio_c = 0.0;
    });
}

#[test]
fn lies_about_a_tree_are_refused_by_name() {
    let refused = |expected: &str, change: fn(&mut Arrays)| {
        refused(&format!("expected in tree 0, {expected}"), |c| change(&mut c.trees[0]));
    };
    refused("at least one node in `num_nodes`, got 0", |t| t.num_nodes = 0);
    refused("6 entries of `node_type`, got 5", |t| t.num_nodes = 6);
    refused("5 entries of `threshold`, got 4", |t| t.threshold.truncate(4));
    refused("a tree, in which one way leads to each node, got two ways to node 0", |t| t.left[1] = 0);
    refused("a tree, in which one way leads to each node, got two ways to node 3", |t| t.right[0] = 3);
    refused("in node 0, a node below 5 in `cright`, got 9", |t| t.right[0] = 9);
    refused("in node 0, a node below 5 in `cright`, got -3", |t| t.right[0] = -3);
    refused(
        "in node 0, `node_type` 1 or 2 for a node with children, and 0 for a leaf, got 1 with the left child -2",
        |t| {
            t.left[0] = -2;
        },
    );
    refused(
        "in node 3, `node_type` 1 or 2 for a node with children, and 0 for a leaf, got 1 with the left child -1",
        |t| {
            t.node_type[3] = 1;
        },
    );
    refused("in node 3, no `cright` where there is no `cleft`, got node 4", |t| t.right[3] = 4);
    refused("in node 1, no categorical node by `has_categorical_split`, got one", |t| t.has_categories = 0);
    refused("in node 0, 1 (==) to 5 (>=) in `cmp`, got 0", |t| t.operator[0] = 0);
    refused("in node 0, a number as `threshold`, got NaN", |t| t.threshold[0] = f64::NAN);
    refused("in node 0, a feature below 2 in `split_index`, got 2", |t| t.split_index[0] = 2);
    refused("in node 0, a feature below 2 in `split_index`, got -1", |t| t.split_index[0] = -1);
    refused("in node 1, 0 or 1 as entry 1 of `default_left`, got 7", |t| t.default_left[1] = 7);
    refused("in node 1, 0 or 1 as entry 1 of `category_list_right_child`, got 2", |t| t.list_right[1] = 2);
    refused("in node 1, a range of the 2 entries of `category_list`, got 0..3", |t| t.lists[1] = 0..3);
    refused("in node 1, a range of the 2 entries of `category_list`, got 2..1", |t| {
        t.lists[1] = Range { start: 2, end: 1 }
    });
    refused("in node 1, a range of the 2 entries of `category_list`, got 0..18446744073709551615", |t| {
        t.lists[1] = 0..u64::MAX;
    });
    refused("in node 3, one number in `leaf_vector`, got 2", |t| {
        t.vector = vec![1.0, 2.0];
        t.vectors[3] = 0..2;
    });
    refused("5 entries of `sum_hess`, got 1", |t| t.sum_hess = vec![1.0]);
    refused("0 or 1 as entry 0 of `sum_hess_present`, got 9", |t| {
        t.sum_hess = vec![1.0; 5];
        t.sum_hess_present = vec![9; 5];
    });
}

#[test]
fn codes_that_no_number_has_are_refused() {
    let error = changed(|c| c.trees[0].list[1] = 1 << 24).unwrap_err().to_string();
    assert_eq!(error, "category code 16777216 is not supported; number the categories from 0");
}

#[test]
fn large_codes_take_no_more_memory_than_the_file_answers_for() {
    // One set of 1 MiB is let through; a hundred are not.
    let chain = |splits: u32| {
        let mut checkpoint = sound();
        let mut tree = chain(splits);
        for (node, node_type) in tree.node_type.iter_mut().enumerate().filter(|(_, node_type)| **node_type == 1) {
            *node_type = 2;
            tree.lists[node] = node as u64..node as u64 + 1;
        }
        tree.list = (0..2 * splits).map(|node| (1 << 23) - 1 - node).collect();
        checkpoint.trees = vec![tree];
        checkpoint
    };
    assert!(read(&chain(1).bytes()).is_ok());
    let error = read(&chain(100).bytes()).unwrap_err().to_string();
    assert!(error.starts_with("a file that takes so many times its size in memory for its category sets"), "{error}");
}

#[test]
fn ranges_that_overlap_are_not_read_again_and_again() {
    let error = changed(|c| {
        let tree = &mut c.trees[0];
        tree.node_type[0] = 2;
        tree.lists[0] = 0..2;
        tree.lists[1] = 1..2;
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "expected in tree 0, in node 1, ranges of `category_list` that do not overlap, got some that do"
    );
    // Nodes may share a range: that is read once.
    let shared = changed(|c| {
        let tree = &mut c.trees[0];
        tree.node_type[0] = 2;
        tree.lists[0] = 0..2;
    });
    assert_eq!(shared.unwrap().trees[0].sets.len(), 1);
}

#[test]
fn shared_leaf_vectors_take_no_more_memory_than_the_file_answers_for() {
    // 2000 outputs, of which each leaf has all: the same 16 kB are shared by as many leaves as the file likes.
    let outputs = 2000;
    let chain = |splits: u32| {
        let mut checkpoint = sound();
        checkpoint.num_class = vec![outputs];
        checkpoint.base_scores = vec![0.0; outputs as usize];
        checkpoint.shape = vec![1, outputs];
        checkpoint.class_id = vec![-1];
        checkpoint.postprocessor = "identity_multiclass".to_owned();
        let mut tree = chain(splits);
        tree.vector = vec![1.0; outputs as usize];
        tree.vectors.fill(0..outputs as u64);
        checkpoint.trees = vec![tree];
        checkpoint
    };
    assert_eq!(read(&chain(3).bytes()).unwrap().answer(&[0.0, 0.0]), vec![1.0; outputs as usize]);
    let error = read(&chain(1000).bytes()).unwrap_err().to_string();
    assert!(error.starts_with("a file that takes so many times its size in memory for its leaf vectors"), "{error}");
}

#[test]
fn optional_fields_of_later_versions_are_passed_over() {
    let mut checkpoint = sound();
    checkpoint.version = [4, 99, 0];
    checkpoint.optional = 1;
    let mut bytes = checkpoint.bytes();
    let trees = checkpoint.trees.iter().map(|tree| {
        let mut bytes = Vec::new();
        tree.put(&mut bytes);
        bytes.len()
    });
    let at = bytes.len() - trees.sum::<usize>();
    let mut field = Vec::new();
    array(&mut field, b"later".iter().map(|byte| [*byte]));
    field.extend(4_u64.to_le_bytes());
    field.extend(3_u64.to_le_bytes());
    field.extend([7; 12]);
    bytes.splice(at..at, field);
    assert_eq!(read(&bytes).unwrap().answer(&[1.5, 3.0]), [30.5]);
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    for (name, bytes) in checkpoints() {
        let step = (bytes.len() / 300).max(1);
        for end in (0..bytes.len()).step_by(step).chain(bytes.len().saturating_sub(40)..bytes.len()) {
            assert!(read(&bytes[..end]).is_err(), "{name} cut to {end} bytes");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Flips, cuts and splices of golden files: refused, or sound.
    #[test]
    fn a_damaged_file_is_refused_or_sound(
        file in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        header in any::<bool>(),
        splice in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..200_usize)),
    ) {
        thread_local! {
            static FILES: Vec<(String, Vec<u8>)> = checkpoints();
        }
        let mut bytes = FILES.with(|files| file.get(files).1.clone());
        // Half of the time where the header and the first nodes are, which random places rarely hit.
        let reach = if header { bytes.len().min(400) } else { bytes.len() };
        for (place, byte) in flips {
            bytes[place.index(reach)] = byte;
        }
        if let Some((from, to, count)) = splice {
            let from = from.index(bytes.len());
            let piece = bytes[from..(from + count).min(bytes.len())].to_vec();
            let to = to.index(bytes.len());
            bytes.splice(to..(to + count / 2).min(to.max(bytes.len())), piece);
        }
        if let Ok(ensemble) = read(&bytes) {
            prop_assert!(ensemble.check().is_ok());
            let answer = ensemble.answer(&vec![0.5; ensemble.columns.len()]);
            prop_assert_eq!(answer.len(), ensemble.output.width);
        }
    }
}
