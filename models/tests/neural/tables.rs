//! Tables that a net can learn, written as CSV, and helpers to train on them and to serve.

use std::{fmt::Write as _, path::Path};

use contract::{Device, Model, Tensor};
use models::neural::{Formats, NetSettings, TableNet, TrainControl, TrainOptions, Trained, train};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the last column of the table is.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// 20 + 5·(x + sin 3z), plus 2 in the north.
    Price,
    /// Whether the price is above 20, as yes and no.
    Dear,
    /// Low, middle or high price.
    Class,
}

/// A CSV of `x` (a tenth missing), `z`, `region` and `sold` with the target column `y`.
pub(crate) fn csv(rows: usize, seed: u64, target: Target) -> String {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut text = "x,z,region,sold,y\n".to_owned();
    for _ in 0..rows {
        let (x, z): (f64, f64) = (generator.random_range(-1.0..1.0), generator.random_range(-1.0..1.0));
        let region = ["north", "south", "east"][generator.random_range(0..3)];
        let missing = generator.random_bool(0.1);
        let shown = if missing { String::new() } else { format!("{x:.4}") };
        let effective = if missing { 0.0 } else { x };
        let price = 20.0 + 5.0 * (effective + (3.0 * z).sin()) + if region == "north" { 2.0 } else { 0.0 };
        let label = match target {
            Target::Price => format!("{price:.4}"),
            Target::Dear => if price > 20.0 { "yes" } else { "no" }.to_owned(),
            Target::Class => if price < 18.0 {
                "low"
            } else if price < 23.0 {
                "middle"
            } else {
                "high"
            }
            .to_owned(),
        };
        let day = generator.random_range(1..29);
        writeln!(text, "{shown},{z:.4},{region},2024-03-{day:02},{label}").unwrap();
    }
    text
}

/// Options of a small, quick run in `directory`, on `csv`; the artifact goes to `directory/name`.
pub(crate) fn options(directory: &Path, name: &str, csv: &str) -> TrainOptions {
    let data = directory.join("table.csv");
    fs_err::write(&data, csv).unwrap();
    let model = NetSettings { batch_size: 64, epochs: 12, learning_rate: 1e-2, ..NetSettings::mlp(vec![24, 16], 0.1) };
    TrainOptions { model, seed: 5, ..TrainOptions::new(data, "y", directory.join(name)) }
}

pub(crate) fn run(options: &TrainOptions) -> Trained {
    train(options, &TrainControl::default()).unwrap()
}

pub(crate) fn open(trained: &Trained) -> TableNet {
    Formats::for_devices(&[Device::cpu()]).open_net(&trained.directory).unwrap()
}

/// The answers of `model` on `device` to one request.
pub(crate) fn answer(model: &TableNet, device: &Device, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut rows = contract::RowBlock::default();
    model.encode(inputs, &mut rows).unwrap();
    let mut replica = model.place(device).unwrap();
    let scores = model.score(replica.as_mut(), &rows).unwrap();
    model.decode(&scores, &[]).unwrap()
}

/// A request of one tensor per feature column.
pub(crate) fn request(rows: &[(Option<f64>, f64, Option<&str>, &str)]) -> Vec<Tensor> {
    let shape = || vec![rows.len(), 1];
    let (mut x_there, mut region_there) = (contract::Bitmap::default(), contract::Bitmap::default());
    for row in rows {
        x_there.push(row.0.is_some());
        region_there.push(row.2.is_some());
    }
    let x: Vec<f64> = rows.iter().map(|row| row.0.unwrap_or_default()).collect();
    let z: Vec<f64> = rows.iter().map(|row| row.1).collect();
    let regions = rows.iter().map(|row| row.2.unwrap_or_default()).collect();
    let days = rows.iter().map(|row| row.3).collect();
    vec![
        Tensor::from_values("x", shape(), &x).unwrap().with_validity(x_there).unwrap(),
        Tensor::from_values("z", shape(), &z).unwrap(),
        Tensor::from_strings("region", shape(), regions).unwrap().with_validity(region_there).unwrap(),
        Tensor::from_strings("sold", shape(), days).unwrap(),
    ]
}
