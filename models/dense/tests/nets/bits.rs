//! The bits do not depend on the threads that compute them.

use dense::{Net, Parameters, Scratch};

use crate::{
    functions::run,
    source::{Source, edges, embedded, values},
};

/// So much work that it is shared out.
fn same_on_any_threads(parameters: &Parameters<'_>, count: usize) {
    let net = Net::new(parameters).unwrap();
    let rows = values(count * net.inputs(), 9);
    assert!(net.products() * count > 8 << 20, "expected work to share, got {} products", net.products() * count);
    let alone: Vec<u32> =
        rows.chunks(net.inputs()).flat_map(|row| run(&net, row, &mut Scratch::default())).map(f32::to_bits).collect();
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut scratch = Scratch::default();
        // A net's rows in batches of any size: those of pieces are others each time.
        for rows in [&rows[..], &rows[..count / 2 * net.inputs()], &rows[..(count - 1) * net.inputs()]] {
            let together: Vec<u32> =
                pool.install(|| run(&net, rows, &mut scratch)).into_iter().map(f32::to_bits).collect();
            assert!(together == alone[..together.len()], "{threads} threads, {} values", rows.len());
        }
    }
}

#[test]
fn of_perceptrons() {
    let numbers = values(1 << 20, 1);
    same_on_any_threads(&Source(&numbers).mlp(&[30, 64, 1]), 5000);
    same_on_any_threads(&Source(&numbers).mlp(&[8, 512, 512, 1]), 211);
    same_on_any_threads(&Source(&numbers).resnet(8, 100, &[200, 200], 3), 300);
}

#[test]
fn of_members() {
    let numbers = values(1 << 20, 2);
    let edges = edges(&[48; 8], 5);
    let mut source = Source(&numbers);
    let embedding = source.piecewise(&edges, 16);
    same_on_any_threads(&embedded(embedding, 0, source.tabm(32, &[128, 200, 200], 1)), 23);
}

#[test]
fn of_transformers() {
    let numbers: Vec<f32> = values(2 << 20, 3).iter().map(|value| value * 0.2).collect();
    same_on_any_threads(&Source(&numbers).transformer((8, &[]), (8, 24), &[256, 256], 1), 19);
}

/// So few rows that not they are shared out, but units.
#[test]
fn of_wide_layers() {
    let drawn: Vec<f32> = values(2 << 20, 3).iter().map(|value| value * 0.2).collect();
    let nets = [
        Source(&drawn).mlp(&[40, 1000, 700, 33]),
        Source(&drawn).resnet(8, 700, &[900], 3),
        Source(&drawn).transformer((8, &[]), (8, 24), &[256, 256], 1),
    ];
    let pools = [1, 2, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for parameters in &nets {
        let net = Net::new(parameters).unwrap();
        assert!(net.products() > 1 << 19, "expected work to share, got {} products", net.products());
        let mut scratch = Scratch::default();
        for count in 1..9 {
            let rows = values(count * net.inputs(), 9);
            let alone = pools[0].install(|| run(&net, &rows, &mut scratch));
            for (round, pool) in pools.iter().cycle().take(30).enumerate() {
                let together = pool.install(|| run(&net, &rows, &mut scratch));
                assert!(
                    alone.iter().zip(&together).all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{count} rows, round {round}"
                );
            }
        }
    }
}
