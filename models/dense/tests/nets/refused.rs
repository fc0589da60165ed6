//! Parameters and rows that contradict themselves are refused in a sentence.

use dense::{Affines, Body, Embedding, Linear, Mlp, Net, Numbers, Parameters, PiecewiseLinear, Scratch};

use crate::source::{Source, edges, embedded, values};

fn refusal(parameters: &Parameters<'_>) -> String {
    Net::new(parameters).unwrap_err().to_string()
}

fn mlp<'a>(layers: &[Linear<'a>]) -> Parameters<'a> {
    Parameters { embedding: None, body: Body::Mlp(Mlp { layers: layers.to_vec() }) }
}

#[test]
fn perceptrons_that_do_not_fit() {
    let numbers = values(100, 1);
    let layer = |inputs: usize, units: usize| Linear { inputs, units, weight: &numbers[..inputs * units], bias: &[] };
    assert_eq!(refusal(&mlp(&[])), "expected at least one layer, got none");
    assert_eq!(refusal(&mlp(&[layer(0, 3)])), "expected at least one of layer 0 inputs, got none");
    assert_eq!(refusal(&mlp(&[layer(2, 3), layer(4, 1)])), "expected 3 inputs of layer 1, got 4");
    let short = Linear { weight: &numbers[..5], ..layer(2, 3) };
    assert_eq!(refusal(&mlp(&[short])), "expected layer 0 weights of 2 × 3 values, got 5");
    let biased = Linear { bias: &numbers[..2], ..layer(2, 3) };
    assert_eq!(refusal(&mlp(&[biased])), "expected layer 0 biases of 3 values, got 2");
    let endless = Linear { inputs: usize::MAX, units: 2, weight: &[], bias: &[] };
    assert!(refusal(&mlp(&[endless])).ends_with("× 2 values, got 0"));
}

#[test]
fn other_nets_that_do_not_fit() {
    let numbers = values(10_000, 1);
    let mut parameters = Source(&numbers).resnet(3, 4, &[5], 1);
    let Body::ResNet(net) = &mut parameters.body else { unreachable!("a residual net was asked for") };
    net.norm = Affines { scale: &numbers[..4], shift: &numbers[..3] };
    assert_eq!(refusal(&parameters), "expected last shifts of 4 values, got 3");

    let mut parameters = Source(&numbers).tabm(2, &[3, 4], 1);
    let Body::TabM(net) = &mut parameters.body else { unreachable!("a TabM was asked for") };
    net.layers[0].scale_out = &numbers[..7];
    assert_eq!(refusal(&parameters), "expected layer 0 output scales of 2 × 4 values, got 7");

    let mut parameters = Source(&numbers).transformer((2, &[3]), (2, 4), &[5, 5], 1);
    let Body::FtTransformer(net) = &mut parameters.body else { unreachable!("a transformer was asked for") };
    net.blocks[1].attention_norm = None;
    assert_eq!(refusal(&parameters), "expected a norm before block 1's attention, got none");
    let mut parameters = Source(&numbers).transformer((2, &[3]), (2, 4), &[5], 1);
    let Body::FtTransformer(net) = &mut parameters.body else { unreachable!("a transformer was asked for") };
    net.heads = 3;
    assert_eq!(refusal(&parameters), "expected a width that is a multiple of 3 heads, got 8");
}

#[test]
fn embeddings_that_do_not_fit() {
    let numbers = values(10_000, 1);
    let edges = edges(&[3, 4], 1);
    let mut source = Source(&numbers);
    let embedding = source.piecewise(&edges, 5);
    let parameters = embedded(embedding, 1, source.mlp(&[10, 1]));
    assert_eq!(refusal(&parameters), "expected a net of 11 inputs, as the embedding gives them, got 10");

    let mut source = Source(&numbers);
    let before = Some(Embedding { others: 0, numbers: source.piecewise(&edges, 5) });
    let parameters = Parameters { embedding: before, ..source.transformer((10, &[]), (1, 4), &[5], 1) };
    assert_eq!(refusal(&parameters), "expected no embedding before a transformer, got one");

    for edges in [&[1.0][..], &[1.0, 1.0], &[0.0, f32::NAN], &[0.0, f32::INFINITY]] {
        let feature = PiecewiseLinear { edges, weight: &numbers[..5], slope: &numbers[..5], bias: &numbers[..5] };
        let parameters = embedded(Numbers::PiecewiseLinear(vec![feature]), 0, Source(&numbers).mlp(&[5, 1]));
        assert!(refusal(&parameters).starts_with("expected two edges or more of number 0"), "{edges:?}");
    }
}

#[test]
fn rows_that_do_not_fit() {
    let numbers = values(10_000, 1);
    let net = Net::new(&Source(&numbers).mlp(&[3, 4, 2])).unwrap();
    let mut scratch = Scratch::default();
    let mut run = |rows: &[f32], out: &mut [f32]| net.run(rows, &mut scratch, out).map_err(|error| error.to_string());
    assert_eq!(run(&[0.0; 4], &mut [0.0; 2]), Err("expected whole rows of 3 values, got 4 values".to_owned()));
    assert_eq!(run(&[0.0; 6], &mut [0.0; 2]), Err("expected room for 4 values of answers, got 2".to_owned()));
    assert_eq!(run(&[], &mut []), Ok(()));

    let net = Net::new(&Source(&numbers).transformer((1, &[3]), (2, 4), &[5], 1)).unwrap();
    assert_eq!(net.inputs(), 4);
    let mut out = [0.0];
    net.run(&[0.0, 0.0, f32::NAN, 0.0], &mut scratch, &mut out).unwrap();
    assert!(out[0].is_nan(), "what is no number stays so");
}
