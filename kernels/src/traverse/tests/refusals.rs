//! What cannot be laid out is refused in one sentence.

use super::super::{CategoryRule, Child, Code, Coder, Forest, Missing, Split, Test, Tree, cpu};
use crate::Error;

fn code(feature: usize, test: Test<'_>) -> Code<'_> {
    Code { feature, missing: Missing::Left, test }
}

#[test]
fn codes_that_cannot_be_made() {
    let many = [0.0; 256];
    for (code, expected) in [
        (code(2, Test::Equal(1.0)), "code 0: expected a feature below 2, got 2"),
        (code(0, Test::Cuts(&many)), "code 0: expected at most 255 thresholds, got 256"),
        (code(0, Test::Cuts(&[f32::NAN])), "code 0: expected numbers as thresholds, got NaN"),
        (code(0, Test::Cuts(&[2.0, 1.0])), "code 0: expected ascending thresholds, got 1 after 2"),
        (code(0, Test::Equal(f32::NAN)), "code 0: expected a number to be equal to, got NaN"),
    ] {
        assert_eq!(Coder::new(2, CategoryRule::Exact, &[code]).unwrap_err().to_string(), expected);
    }
    assert_eq!(Coder::new(0, CategoryRule::Exact, &[]), Err(Error::NoFeatures));
    // Equal thresholds are: two of f64 may round to one of f32.
    assert_eq!(Coder::new(1, CategoryRule::Exact, &[code(0, Test::Cuts(&[1.0, 1.0]))]).unwrap().words(), 1);
}

#[test]
fn forests_that_cannot_be_walked() {
    let split = |code, left, right| Split { code, cut: 0, left, right };
    let (leaf, inner) = (Child::Leaf, Child::Split);
    for (splits, values, output, expected) in [
        (vec![split(4, leaf(0), leaf(1))], 2, Some(0), "tree 0: expected a code below 4, got 4"),
        (vec![split(0, leaf(0), leaf(1))], 3, Some(0), "tree 0: expected 2 leaf values, got 3"),
        (vec![split(0, leaf(0), leaf(1))], 2, None, "tree 0: expected 4 leaf values, got 2"),
        (vec![split(0, leaf(0), leaf(1))], 2, Some(2), "tree 0: expected an output below 2, got 2"),
        (vec![split(0, leaf(1), leaf(1))], 2, Some(0), "tree 0: expected one way to each node, got two to Leaf(1)"),
        (vec![split(0, leaf(0), leaf(2))], 2, Some(0), "tree 0: expected 1 splits and 2 leaves, got Leaf(2)"),
        (vec![split(0, inner(0), leaf(0))], 2, Some(0), "tree 0: expected split 0's child in 1..1, got 0"),
        (
            vec![split(0, inner(u32::MAX), leaf(0))],
            2,
            Some(0),
            "tree 0: expected split 0's child in 1..1, got 4294967295",
        ),
        (
            vec![split(0, inner(1), inner(1)), split(0, leaf(0), leaf(1))],
            3,
            Some(0),
            "tree 0: expected one way to each node, got two to Split(1)",
        ),
    ] {
        let values = vec![1.0; values];
        let tree = Tree { splits: &splits, values: &values, output };
        assert_eq!(Forest::new(4, 2, &[tree]).unwrap_err().to_string(), expected);
        assert_eq!(Forest::general(4, 2, &[tree]).unwrap_err().to_string(), expected);
    }
    for value in [f64::NAN, f64::INFINITY] {
        let tree = Tree { splits: &[], values: &[value], output: Some(0) };
        let error = Forest::new(1, 1, &[tree]).unwrap_err().to_string();
        assert_eq!(error, format!("expected finite leaf values and sums for output 0, got {value}"));
    }
    let large = Tree { splits: &[], values: &[f64::MAX], output: Some(0) };
    assert!(Forest::new(1, 1, &[large, large]).is_err(), "their sum is infinite");
    assert_eq!(Forest::new(1, 0, &[]).unwrap_err().to_string(), "expected at least one output, got none");
}

#[test]
fn buffers_of_another_length() {
    let coder = Coder::new(2, CategoryRule::Exact, &[code(1, Test::Equal(1.0))]).unwrap();
    assert_eq!(cpu::code(&[1.0], &coder, &mut [0]), Err(Error::Rows { features: 2, got: 1 }));
    assert_eq!(cpu::code(&[1.0, 2.0], &coder, &mut []), Err(Error::Length { expected: 1, got: 0 }));
    let forest = Forest::new(5, 3, &[Tree { splits: &[], values: &[1.0], output: Some(2) }]).unwrap();
    assert_eq!(cpu::leaves(&[0], &forest, &mut []), Err(Error::Words { words: 2, got: 1 }));
    assert_eq!(cpu::leaves(&[0, 0], &forest, &mut []), Err(Error::Length { expected: 1, got: 0 }));
    assert_eq!(cpu::sums(&[0, 0], &forest, &mut [0]), Err(Error::Length { expected: 3, got: 1 }));
}

#[test]
fn a_set_is_held_once_however_many_codes_ask_for_it() {
    let words = [5_u32; 1000];
    let codes = [code(0, Test::In(&words)), code(1, Test::In(&words)), code(1, Test::Equal(7.0))];
    let coder = Coder::new(2, CategoryRule::Exact, &codes).unwrap();
    assert_eq!(coder.data.len(), words.len() + 1);
    let mut bytes = [0; 2];
    cpu::code(&[2.0, 7.0, 1.0, 64.0], &coder, &mut bytes).unwrap();
    assert_eq!(bytes, [0x0000_0100, 0x0001_0001], "category 2 and 64 are in, 7 and 1 are not; 7 is 7");
}
