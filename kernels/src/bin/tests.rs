//! One conformance body, run against the twin and against the kernel on every device of every runtime built in.

use proptest::prelude::*;

use super::{Cuts, cpu, order_key};
use crate::Error;

/// The definition, word for word.
fn definition(values: &[f32], features: &[Vec<f32>]) -> Vec<u32> {
    let mut bins = Vec::new();
    for (place, value) in values.iter().enumerate() {
        let points = &features[place % features.len()];
        let below = points.iter().filter(|point| *point < value).count();
        bins.push(if value.is_nan() { points.len() + 1 } else { below } as u32);
    }
    bins
}

/// Values that hardware gets wrong: zeros, subnormals, infinities, NaNs of all kinds, neighbours.
const DIFFICULT: [f32; 20] = [
    0.0,
    -0.0,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    f32::MIN_POSITIVE / 2.0,
    -f32::MIN_POSITIVE / 2.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::NAN,
    -f32::NAN,
    f32::from_bits(0x7f80_0001),
    f32::from_bits(0xffff_ffff),
    1.0,
    -1.0,
    1.0 + f32::EPSILON,
    1.0 - f32::EPSILON / 2.0,
];

/// A small generator with a period long enough for tests.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// From -4 to 4, on a grid coarse enough to hit cut points often.
    fn value(&mut self) -> f32 {
        (self.next() % 2001) as f32 / 250.0 - 4.0
    }

    fn points(&mut self, count: usize) -> Vec<f32> {
        let mut points: Vec<f32> = (0..count).map(|_| self.value()).collect();
        points.sort_by(f32::total_cmp);
        points.dedup();
        points
    }
}

/// What every implementation must do. `bin` gives the bins of a row-major matrix.
fn conforms(name: &str, bin: impl Fn(&[f32], &Cuts) -> Result<Vec<u32>, Error>) {
    let check = |case: &str, values: &[f32], features: &[Vec<f32>]| {
        let cuts = Cuts::new(features).unwrap();
        let bins = bin(values, &cuts).unwrap();
        assert_eq!(bins, definition(values, features), "{name}: {case}");
    };
    check("no rows", &[], &[vec![1.0]]);
    check("no cut points at all", &[1.0, f32::NAN, -3.0, 4.0], &[vec![], vec![]]);
    check("one cut point", &[1.0, 2.0, 3.0, f32::NAN], &[vec![2.0]]);

    let mut all: Vec<f32> =
        DIFFICULT.iter().copied().filter(|value| !value.is_nan() && value.to_bits() != 0x8000_0000).collect();
    all.sort_by(f32::total_cmp);
    check("difficult values between themselves", &DIFFICULT, &[all.clone()]);
    let spread: Vec<f32> = DIFFICULT.iter().flat_map(|value| [*value, *value, *value]).collect();
    check("difficult values in three features", &spread, &[all, vec![-0.0], vec![f32::NEG_INFINITY, f32::INFINITY]]);

    let mut noise = Noise(7);
    for (rows, columns, most_points) in
        [(1, 1, 1), (3, 5, 4), (257, 1, 255), (1000, 13, 63), (64, 300, 17), (4099, 3, 1024)]
    {
        let features: Vec<Vec<f32>> = (0..columns)
            .map(|feature| noise.points(if feature % 4 == 3 { 0 } else { most_points - feature % most_points }))
            .collect();
        let values: Vec<f32> = (0..rows * columns)
            .map(|_| if noise.next().is_multiple_of(11) { f32::NAN } else { noise.value() })
            .collect();
        check(&format!("{rows} × {columns}, up to {most_points} cut points"), &values, &features);
    }

    let cuts = Cuts::new(&[vec![1.0], vec![2.0]]).unwrap();
    assert_eq!(bin(&[1.0, 2.0, 3.0], &cuts), Err(Error::Rows { features: 2, got: 3 }), "{name}");
    let none = Cuts::new::<Vec<f32>>(&[]).unwrap();
    assert_eq!(bin(&[], &none), Ok(Vec::new()), "{name}");
    assert_eq!(bin(&[1.0], &none), Err(Error::Rows { features: 0, got: 1 }), "{name}");
}

fn on_cpu(values: &[f32], cuts: &Cuts) -> Result<Vec<u32>, Error> {
    // Filled with what is no bin, so that a value that is skipped shows.
    let mut bins = vec![u32::MAX; values.len()];
    cpu::bin(values, cuts, &mut bins).map(|()| bins)
}

#[test]
fn the_twin_conforms() {
    conforms("cpu", on_cpu);
}

#[cfg(feature = "gpu")]
mod on_devices {
    use super::{super::gpu, *};
    use crate::devices::devices;

    #[test]
    fn the_kernel_conforms() {
        for device in devices() {
            let client = device.client();
            conforms(&format!("{device:?}"), |values, cuts| gpu::bin(&client, values, cuts));
        }
    }

    #[test]
    fn a_matrix_larger_than_a_launch_is_cut_between_rows() {
        let mut noise = Noise(11);
        let features = [noise.points(30), noise.points(5), noise.points(0)];
        let values: Vec<f32> = (0..3 * 1000).map(|_| noise.value()).collect();
        let cuts = Cuts::new(&features).unwrap();
        for device in devices() {
            let client = device.client();
            for largest in [1, 100, 2999, 3000] {
                let bins = gpu::bin_in_launches(&client, &values, &cuts, largest).unwrap();
                assert_eq!(bins, definition(&values, &features), "{device:?}, {largest}");
            }
        }
    }

    #[test]
    fn a_launch_refuses_what_does_not_fit() {
        for device in devices() {
            let client = device.client();
            let cuts = gpu::DeviceCuts::upload(&client, &Cuts::new(&[[1.0], [2.0]]).unwrap());
            let values = client.create_from_slice(bytemuck::cast_slice(&[1.0_f32, 2.0, 3.0]));
            assert_eq!(gpu::launch(&client, values, &cuts).err(), Some(Error::Rows { features: 2, got: 3 }));
        }
    }
}

#[test]
fn the_twin_refuses_an_output_of_another_length() {
    let cuts = Cuts::new(&[[1.0]]).unwrap();
    assert_eq!(cpu::bin(&[1.0, 2.0], &cuts, &mut [0]), Err(Error::Length { expected: 2, got: 1 }));
}

#[test]
fn refuses_cut_points_that_cannot_be_searched() {
    for (points, got) in [
        (vec![1.0, 1.0], "1 after 1"),
        (vec![2.0, 1.0], "1 after 2"),
        (vec![-0.0, 0.0], "0 after -0"),
        (vec![0.0, f32::NAN], "NaN"),
    ] {
        let error = Error::CutPoints { feature: 1, got: got.to_owned() };
        assert_eq!(Cuts::new(&[vec![0.5], points]), Err(error));
    }
}

#[test]
fn tells_its_bins() {
    let cuts = Cuts::new(&[vec![1.0, 2.0], vec![]]).unwrap();
    assert_eq!((cuts.features(), cuts.points(0), cuts.points(1)), (2, &[1.0, 2.0][..], &[][..]));
    assert_eq!((cuts.bins(0), cuts.missing_bin(0)), (4, 3));
    assert_eq!((cuts.bins(1), cuts.missing_bin(1)), (2, 1));
    assert!(cuts.points(2).is_empty());
}

proptest! {
    #[test]
    fn keys_order_as_floats_do(left in any::<f32>(), right in any::<f32>()) {
        prop_assume!(!left.is_nan() && !right.is_nan());
        prop_assert_eq!(Some(order_key(left).cmp(&order_key(right))), left.partial_cmp(&right));
    }

    #[test]
    fn the_twin_agrees_with_the_definition(
        values in prop::collection::vec(any::<f32>(), 0..200),
        mut points in prop::collection::vec(any::<f32>(), 0..60),
    ) {
        points.retain(|point| !point.is_nan());
        points.sort_by(f32::total_cmp);
        points.dedup();
        let features = [points];
        let cuts = Cuts::new(&features).unwrap();
        prop_assert_eq!(on_cpu(&values, &cuts).unwrap(), definition(&values, &features));
    }
}
