//! The functions, in f64 and as they are written down.

use dense::{
    Affines, Body, Embedding, FtBlock, FtTransformer, Linear, Mlp, Numbers, Parameters, Periodic, PiecewiseLinear,
    ResNet, TabM, TabMLayer,
};

fn at(values: &[f32], index: usize) -> f64 {
    f64::from(values[index])
}

fn linear(layer: &Linear<'_>, x: &[f64]) -> Vec<f64> {
    let Linear { inputs, units, weight, bias } = layer;
    assert_eq!(x.len(), *inputs);
    let unit = |unit: usize| {
        let sum: f64 = x.iter().enumerate().map(|(input, x)| x * at(weight, input * units + unit)).sum();
        sum + if bias.is_empty() { 0.0 } else { at(bias, unit) }
    };
    (0..*units).map(unit).collect()
}

fn rectified(x: Vec<f64>) -> Vec<f64> {
    x.into_iter().map(|x| x.max(0.0)).collect()
}

fn affine(norm: &Affines<'_>, x: &[f64]) -> Vec<f64> {
    x.iter().enumerate().map(|(index, x)| x * at(norm.scale, index) + at(norm.shift, index)).collect()
}

fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn mlp(net: &Mlp<'_>, row: &[f64]) -> Vec<f64> {
    let (last, hidden) = net.layers.split_last().unwrap();
    let x = hidden.iter().fold(row.to_vec(), |x, layer| rectified(linear(layer, &x)));
    linear(last, &x)
}

fn resnet(net: &ResNet<'_>, row: &[f64]) -> Vec<f64> {
    let mut x = linear(&net.first, row);
    for block in &net.blocks {
        let inner = linear(&block.second, &rectified(linear(&block.first, &affine(&block.norm, &x))));
        x = plus(&x, &inner);
    }
    linear(&net.last, &rectified(affine(&net.norm, &x)))
}

fn tabm(net: &TabM<'_>, row: &[f64]) -> Vec<f64> {
    let mut all = Vec::new();
    for member in 0..net.members {
        let mut x = row.to_vec();
        for layer in &net.layers {
            let TabMLayer { inputs, units, weight, scale_in, scale_out, bias } = *layer;
            let scaled: Vec<f64> =
                x.iter().enumerate().map(|(input, x)| x * at(scale_in, member * inputs + input)).collect();
            let sums = linear(&Linear { inputs, units, weight, bias: &[] }, &scaled);
            let unit = |(unit, sum): (usize, &f64)| {
                sum * at(scale_out, member * units + unit) + at(bias, member * units + unit)
            };
            x = rectified(sums.iter().enumerate().map(unit).collect());
        }
        let (inputs, units) = (x.len(), net.outputs);
        let weight = &net.weight[member * inputs * units..][..inputs * units];
        let bias = &net.bias[member * units..][..units];
        all.extend(linear(&Linear { inputs, units, weight, bias }, &x));
    }
    all
}

fn periodic(numbers: &Periodic<'_>, feature: usize, x: f64) -> Vec<f64> {
    let Periodic { features: _, waves, frequencies, width, shared, weight, bias } = *numbers;
    let turns: Vec<f64> = (0..waves).map(|wave| at(frequencies, feature * waves + wave) * x).collect();
    let cosines = turns.iter().map(|turns| (std::f64::consts::TAU * turns).cos());
    let sines = turns.iter().map(|turns| (std::f64::consts::TAU * turns).sin());
    let waved: Vec<f64> = cosines.chain(sines).collect();
    let layer = if shared { 0 } else { feature };
    let inputs = 2 * waves;
    let weight = &weight[layer * inputs * width..][..inputs * width];
    rectified(linear(&Linear { inputs, units: width, weight, bias: &bias[layer * width..][..width] }, &waved))
}

fn piecewise(feature: &PiecewiseLinear<'_>, x: f64) -> Vec<f64> {
    let PiecewiseLinear { edges, weight, slope, bias } = feature;
    let (bins, width) = (edges.len() - 1, bias.len());
    let component = |bin: usize| {
        let (low, high) = (at(edges, bin), at(edges, bin + 1));
        let part = (x - low) / (high - low);
        let part = if bin > 0 { part.max(0.0) } else { part };
        if bin + 1 < bins { part.min(1.0) } else { part }
    };
    let value = |place: usize| {
        let encoded: f64 = (0..bins).map(|bin| component(bin) * at(weight, bin * width + place)).sum();
        x * at(slope, place) + at(bias, place) + encoded
    };
    (0..width).map(value).collect()
}

fn embedding(embedding: &Embedding<'_>, row: &[f64]) -> Vec<f64> {
    let features = match &embedding.numbers {
        Numbers::Periodic(periodic) => periodic.features,
        Numbers::PiecewiseLinear(features) => features.len(),
    };
    let embed = |feature: usize| match &embedding.numbers {
        Numbers::Periodic(numbers) => periodic(numbers, feature, row[feature]),
        Numbers::PiecewiseLinear(features) => piecewise(&features[feature], row[feature]),
    };
    let mut out: Vec<f64> = (0..features).flat_map(embed).collect();
    out.extend(&row[features..]);
    out
}

fn norm(norm: &Affines<'_>, epsilon: f64, x: &[f64]) -> Vec<f64> {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let normed: Vec<f64> = x.iter().map(|x| (x - mean) / (variance + epsilon).sqrt()).collect();
    affine(norm, &normed)
}

fn block(net: &FtTransformer<'_>, block: &FtBlock<'_>, tokens: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let epsilon = f64::from(net.epsilon);
    let each = net.width / net.heads;
    let normed: Vec<Vec<f64>> = tokens
        .iter()
        .map(|token| block.attention_norm.map_or_else(|| token.clone(), |of| norm(&of, epsilon, token)))
        .collect();
    let of = |layer: &Linear<'_>| -> Vec<Vec<f64>> { normed.iter().map(|token| linear(layer, token)).collect() };
    let (queries, keys, values) = (of(&block.queries), of(&block.keys), of(&block.values));
    let mixed = |query: &Vec<f64>| -> Vec<f64> {
        let mut out = Vec::new();
        for head in 0..net.heads {
            let part = head * each..(head + 1) * each;
            let score = |key: &Vec<f64>| {
                let products = query[part.clone()].iter().zip(&key[part.clone()]);
                products.map(|(query, key)| query * key).sum::<f64>() / (each as f64).sqrt()
            };
            let powers: Vec<f64> = keys.iter().map(|key| score(key).exp()).collect();
            let sum: f64 = powers.iter().sum();
            let mean = |place: usize| powers.iter().zip(&values).map(|(power, value)| power / sum * value[place]).sum();
            out.extend(part.clone().map(mean).collect::<Vec<f64>>());
        }
        out
    };
    let step = |(token, query): (&Vec<f64>, &Vec<f64>)| {
        let token = plus(token, &linear(&block.output, &mixed(query)));
        let up = linear(&block.up, &norm(&block.hidden_norm, epsilon, &token));
        let (left, right) = up.split_at(up.len() / 2);
        let gated: Vec<f64> = left.iter().zip(right).map(|(left, right)| left * right.max(0.0)).collect();
        plus(&token, &linear(&block.down, &gated))
    };
    tokens.iter().zip(&queries).map(step).collect()
}

fn transformer(net: &FtTransformer<'_>, row: &[f64]) -> Vec<f64> {
    let width = net.width;
    let numbers = net.number_weight.len() / width;
    let first: Vec<f64> = net.first_token.iter().map(|value| f64::from(*value)).collect();
    let number = |(index, x): (usize, &f64)| {
        let place = |place: usize| {
            x * at(net.number_weight, index * width + place) + at(net.number_bias, index * width + place)
        };
        (0..width).map(place).collect()
    };
    let mut tokens: Vec<Vec<f64>> = vec![first];
    tokens.extend(row[..numbers].iter().enumerate().map(number));
    let mut rest = &row[numbers..];
    for other in &net.others {
        tokens.push(linear(other, &rest[..other.inputs]));
        rest = &rest[other.inputs..];
    }
    for of in &net.blocks {
        tokens = block(net, of, &tokens);
    }
    linear(&net.head, &rectified(norm(&net.norm, f64::from(net.epsilon), &tokens[0])))
}

/// What a net answers to a row.
pub(crate) fn answer(parameters: &Parameters<'_>, row: &[f32]) -> Vec<f64> {
    let row: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
    let row = parameters.embedding.as_ref().map_or_else(|| row.clone(), |of| embedding(of, &row));
    match &parameters.body {
        Body::Mlp(net) => mlp(net, &row),
        Body::ResNet(net) => resnet(net, &row),
        Body::TabM(net) => tabm(net, &row),
        Body::FtTransformer(net) => transformer(net, &row),
    }
}
