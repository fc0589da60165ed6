use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::neural::sampler::Sampler;

/// One net of each kind, over rows of two numbers, a column of three values, a number and one more value.
pub(crate) fn shapes() -> Vec<NetShape> {
    let segments =
        vec![Segment::Number(0), Segment::Number(1), Segment::Other(2..5), Segment::Number(5), Segment::Other(6..7)];
    let edges = vec![vec![-1.0, 0.0, 0.5, 1.0], vec![-1.0, 1.0], vec![-0.75, 0.25, 0.8]];
    let piecewise = Embedding::PiecewiseLinear { edges, width: 5 };
    let periodic = |shared| Embedding::Periodic { frequencies: 3, width: 4, scale: 0.5, shared };
    let mlp = || Body::Mlp { hidden: vec![6, 4], dropout: 0.25 };
    let tabm = |hidden| Body::Tabm { members: 3, hidden, dropout: 0.25 };
    let resnet = Body::Resnet { blocks: 2, width: 5, hidden: 7, dropout: 0.25, residual_dropout: 0.125 };
    let transformer = Body::FtTransformer(Transformer {
        blocks: 2,
        width: 6,
        heads: 2,
        hidden: 4,
        attention_dropout: 0.2,
        dropout: 0.1,
        residual_dropout: 0.1,
    });
    [
        (Embedding::None, mlp()),
        (periodic(false), mlp()),
        (periodic(true), mlp()),
        (piecewise.clone(), mlp()),
        (Embedding::None, tabm(vec![6, 4])),
        (piecewise, tabm(vec![6])),
        (Embedding::None, resnet),
        (Embedding::None, transformer),
    ]
    .into_iter()
    .map(|(embedding, body)| NetShape { inputs: 7, segments: segments.clone(), embedding, body, outputs: 2 })
    .collect()
}

fn rows(count: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    (0..7 * count).map(|_| random.random_range(-1.5..1.5)).collect()
}

/// Parameters of which none is what another one is.
fn parameters(shape: &NetShape) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let layout = shape.layout();
    let mut values = layout.initial(1);
    for value in &mut values {
        *value += random.random_range(-0.2..0.2);
    }
    values
}

fn net(shape: &NetShape, parameters: &[f32]) -> Net {
    let device = Device::flex();
    Net::new(&Arc::new(Plan::new(shape.clone(), &device)), &vector(parameters.to_vec(), &device))
}

/// The gradient of the scores' squares in training, with products in `precision`.
fn gradient(shape: &NetShape, precision: Precision) -> Vec<f32> {
    let device = Device::flex();
    let plan = Arc::new(Plan::new(shape.clone(), &device).in_precision(precision));
    let net = Net::new(&plan, &vector(parameters(shape), &device)).tracked();
    let mut noise = Sampler::new(1).noise(1, 0, &device, true);
    let scores = net.forward(matrix(rows(40), 7, &device), Mode::Train(&mut noise)).scores;
    values(net.gradient(&mut scores.square().mean().backward()))
}

#[test]
fn gradients_of_half_precision_are_those_of_full_precision_but_for_rounding() {
    for shape in shapes() {
        let full = gradient(&shape, Precision::F32);
        let length = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        // Significands of 11 and 8 bits, rounded layer by layer.
        for (precision, most) in [(Precision::F16, 0.01), (Precision::Bf16, 0.06)] {
            let half = gradient(&shape, precision);
            let apart: Vec<f32> = full.iter().zip(&half).map(|(full, half)| full - half).collect();
            let part = length(&apart) / length(&full);
            assert!(part > 0.0 && part < most, "{precision}: gradients of {shape:?} are {part} apart");
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

#[test]
fn every_parameter_is_used_and_every_net_gives_its_scores() {
    for shape in shapes() {
        shape.check().unwrap();
        let net = net(&shape, &parameters(&shape)).tracked();
        let mut noise = Sampler::new(1).noise(1, 0, &Device::flex(), true);
        let passed = net.forward(matrix(rows(40), 7, &Device::flex()), Mode::Train(&mut noise));
        assert_eq!(passed.scores.dims(), [40, shape.body.members(), 2], "{shape:?}");
        let mut gradients = passed.scores.square().sum().backward();
        let gradient = values(net.gradient(&mut gradients));
        let layout = shape.layout();
        for parameter in layout.parameters() {
            let some = gradient[parameter.range.clone()].iter().any(|value| *value != 0.0);
            // Keys move all of a query's weights alike by their bias, which the softmax does not see.
            let unseen = parameter.role == Role::Statistic || parameter.key.ends_with("key.bias");
            assert!(some || unseen, "{} of {shape:?} has no gradient", parameter.key);
        }
        let statistics = layout.parameters().iter().filter(|p| p.role == Role::Statistic).count();
        assert_eq!(passed.statistics.len(), statistics);
    }
}

#[test]
fn gradients_are_those_of_differences() {
    for shape in shapes() {
        let start = parameters(&shape);
        let loss = |parameters: &[f32]| -> f64 {
            let scores = net(&shape, parameters).forward(matrix(rows(6), 7, &Device::flex()), Mode::Serve).scores;
            values(scores).iter().enumerate().map(|(i, score)| f64::from(*score) * (i as f64 * 0.7).sin()).sum()
        };
        let tracked = net(&shape, &start).tracked();
        let scores = tracked.forward(matrix(rows(6), 7, &Device::flex()), Mode::Serve).scores;
        let count = scores.dims().iter().product::<usize>();
        let weights: Vec<f32> = (0..count).map(|i| (i as f64 * 0.7).sin() as f32).collect();
        let weights = Tensor::<3>::from_data(TensorData::new(weights, scores.dims()), &Device::flex());
        let gradient = values(tracked.gradient(&mut (scores * weights).sum().backward()));
        let (mut random, mut kinks) = (ChaCha8Rng::seed_from_u64(9), 0);
        let trained: Vec<usize> = shape
            .layout()
            .parameters()
            .iter()
            .filter(|p| p.role != Role::Statistic)
            .flat_map(|p| p.range.clone())
            .collect();
        for _ in 0..60 {
            let place = trained[random.random_range(0..trained.len())];
            let moved = |by: f32| {
                let mut parameters = start.clone();
                parameters[place] += by;
                loss(&parameters)
            };
            let slope = (moved(2e-3) - moved(-2e-3)) / 4e-3;
            let difference = (slope - f64::from(gradient[place])).abs();
            // A step may cross the kink of a rectifier now and then.
            kinks += usize::from(difference > 2e-2 * slope.abs().max(0.5));
        }
        assert!(kinks <= 3, "{kinks} of 60 slopes of {shape:?} are others");
    }
}

#[test]
fn serving_draws_nothing_and_rows_do_not_see_each_other() {
    for shape in shapes() {
        let net = net(&shape, &parameters(&shape));
        let score = |rows: Vec<f32>| {
            let scores = net.forward(matrix(rows, 7, &Device::flex()), Mode::Serve).scores;
            values(NetShape::averaged(scores, Average::Classes))
        };
        let all = score(rows(9));
        for (row, expected) in rows(9).chunks(7).zip(all.chunks(2)) {
            for (score, expected) in score(row.to_vec()).iter().zip(expected) {
                assert!((score - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{shape:?}");
            }
        }
    }
}

#[test]
fn averages_are_those_of_what_scores_stand_for() {
    let scores = [0.5_f32, -2.0, 3.0, 40.0, 1.0, -60.0];
    let averaged = |average, outputs| {
        let scores = TensorData::new(scores.to_vec(), [1, 6 / outputs, outputs]);
        values(NetShape::averaged(Tensor::<3>::from_data(scores, &Device::flex()), average))
    };
    let mean = averaged(Average::Scores, 1)[0];
    assert!((mean - scores.iter().sum::<f32>() / 6.0).abs() < 1e-5);
    let rates = averaged(Average::Rates, 1)[0];
    let expected = (scores.iter().map(|score| f64::from(*score).exp()).sum::<f64>() / 6.0).ln();
    assert!((f64::from(rates) - expected).abs() < 1e-5);
    let logistic = |margin: f32| 1.0 / (1.0 + (-f64::from(margin)).exp());
    let expected = scores.iter().map(|score| logistic(*score)).sum::<f64>() / 6.0;
    assert!((logistic(averaged(Average::Margins, 1)[0]) - expected).abs() < 1e-6);

    let logs = averaged(Average::Classes, 2);
    let expected = |class: usize| -> f64 {
        let softmax = |pair: &[f32]| {
            let exponents = [f64::from(pair[0]).exp(), f64::from(pair[1]).exp()];
            exponents[class] / (exponents[0] + exponents[1])
        };
        scores.chunks(2).map(softmax).sum::<f64>() / 3.0
    };
    for (class, log) in logs.iter().enumerate() {
        assert!((f64::from(*log).exp() - expected(class)).abs() < 1e-6);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let good = || shapes().remove(3);
    let wrong = |change: &dyn Fn(&mut NetShape)| {
        let mut shape = good();
        change(&mut shape);
        shape.check().unwrap_err()
    };
    assert_eq!(wrong(&|shape| shape.inputs = 8).1, "of 7");
    assert_eq!(wrong(&|shape| shape.outputs = 0).1, "none");
    assert_eq!(wrong(&|shape| shape.segments[2] = Segment::Other(3..5)).0, "a part of the row from place 2");
    assert_eq!(wrong(&|shape| shape.segments[2] = Segment::Other(2..2)).0, "a part of the row from place 2");
    assert_eq!(wrong(&|shape| shape.segments[4] = Segment::Number(6)).0, "edges for 4 numbers and at least one value");
    assert!(wrong(&|shape| shape.body = Body::Tabm { members: 2, hidden: vec![], dropout: 0.0 }).0.contains("a layer"));
    assert!(wrong(&|shape| shape.body = Body::Mlp { hidden: vec![0], dropout: 0.0 }).0.contains("one unit or more"));
}
