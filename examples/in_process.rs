//! A model without a server: train on a table, open the artifact, answer one row with a gap in it, all in this process.
//!
//! `cargo run --release --example in_process`

use std::{fmt::Write, io};

use anyhow::{Context, Result};
use contract::{Bitmap, Device, Format, RowBlock, Strings, Tensor};
use models::neural::{Formats, TrainControl, TrainOptions, train};

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let table = folder.path().join("flats.csv");
    let mut csv = "area,district,rent\n".to_owned();
    for index in 0..500 {
        let (area, north) = (30 + index * 7 % 90, index % 2 == 0);
        let rent = area * 12 + if north { 250 } else { 0 };
        writeln!(csv, "{area},{},{rent}", if north { "north" } else { "south" })?;
    }
    fs_err::write(&table, csv)?;

    let trained = train(&TrainOptions::new(&table, "rent", folder.path().join("model")), &TrainControl::default())?;
    let device = Device::cpu();
    let model = Formats::for_devices(std::slice::from_ref(&device)).open(&trained.directory)?;
    let mut replica = model.place(&device)?;

    // Two flats: 60 m² in the north, and one in the south whose area is not known.
    let mut known = Bitmap::default();
    known.push(true);
    known.push(false);
    let inputs = [
        Tensor::from_values("area", vec![2, 1], &[60.0_f64, 0.0])?.with_validity(known)?,
        Tensor::from_strings("district", vec![2, 1], ["north", "south"].iter().collect::<Strings>())?,
    ];
    let (mut rows, mut scores) = (RowBlock::default(), RowBlock::default());
    let cost = model.encode(&inputs, &mut rows)?;
    let ticket = replica.submit(&rows, cost.rows)?;
    replica.collect(ticket, &mut scores)?;
    let answer = model.decode(&scores, &[])?;
    let rents = answer.first().and_then(|output| output.values::<f32>()).context("the model gave no rents")?;
    let out = &mut io::stdout().lock();
    io::Write::write_fmt(out, format_args!("{:?}\nrents {rents:?}\n", trained.metadata.metrics))?;
    Ok(())
}
