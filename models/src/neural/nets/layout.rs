//! What parameters a net has: their names, shapes, places in one flat vector, and how they start.
//!
//! All parameters of a net lie in one flat vector, so that the optimiser, gradient clipping, averaging and checkpoints are single
//! operations whatever the net is made of. An architecture says its parameters in the order in which its forward pass takes
//! them (see [`Leaves`](super::leaves::Leaves)).

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What training does with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Trained, with weight decay.
    Weight,
    /// Trained, without weight decay: biases, norms, embeddings.
    Exempt,
    /// Not trained: what a norm has seen, as it is when nothing is trained.
    Statistic,
}

/// How a parameter starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Init {
    /// Uniform within ± this.
    Uniform(f32),
    /// Normal with this standard deviation, and within three of them.
    Normal(f32),
    Zeros,
    Ones,
    /// Rows of one number per section (as long as these): 1 or −1.
    Signs(Vec<usize>),
    /// Rows of one number per section (as long as these): standard normal.
    Gains(Vec<usize>),
    /// The same row, uniform within ± this, for each row.
    SharedRow(f32),
}

impl Init {
    /// Uniform within ±1/√inputs: how `PyTorch`'s `Linear` starts, and with it all the nets of the papers.
    pub(crate) fn linear(inputs: usize) -> Self {
        Self::Uniform((inputs.max(1) as f32).sqrt().recip())
    }
}

/// One parameter of a net.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    /// Its name in saved weights.
    pub(crate) key: String,
    /// Its sizes, outermost first.
    pub(crate) shape: Vec<usize>,
    /// Where it lies in the flat vector, row-major.
    pub(crate) range: Range<usize>,
    pub(crate) role: Role,
    init: Init,
}

/// All parameters of a net, in the order of the flat vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    parameters: Vec<Parameter>,
}

impl Layout {
    /// Adds a parameter behind the others.
    pub(crate) fn add(&mut self, key: impl Into<String>, shape: &[usize], role: Role, init: Init) {
        let start = self.len();
        let range = start..start + shape.iter().product::<usize>();
        self.parameters.push(Parameter { key: key.into(), shape: shape.to_vec(), range, role, init });
    }

    /// Adds `{key}.weight` `[inputs, outputs]` and `{key}.bias` `[outputs]`.
    pub(crate) fn linear(&mut self, key: &str, inputs: usize, outputs: usize) {
        self.add(format!("{key}.weight"), &[inputs, outputs], Role::Weight, Init::linear(inputs));
        self.add(format!("{key}.bias"), &[outputs], Role::Exempt, Init::linear(inputs));
    }

    /// Adds `{key}.weight` (ones) and `{key}.bias` (zeros) of a norm over `width` values.
    pub(crate) fn norm(&mut self, key: &str, width: usize) {
        self.add(format!("{key}.weight"), &[width], Role::Exempt, Init::Ones);
        self.add(format!("{key}.bias"), &[width], Role::Exempt, Init::Zeros);
    }

    /// The parameters, in order.
    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Values in the flat vector.
    pub(crate) fn len(&self) -> usize {
        self.parameters.last().map_or(0, |parameter| parameter.range.end)
    }

    /// Values that training changes.
    pub(crate) fn trained(&self) -> usize {
        self.parameters.iter().filter(|p| p.role != Role::Statistic).map(|p| p.range.len()).sum()
    }

    /// 1 for each value that weight decay shrinks, else 0.
    pub(crate) fn decay(&self) -> Vec<f32> {
        let of = |p: &Parameter| std::iter::repeat_n(f32::from(u8::from(p.role == Role::Weight)), p.range.len());
        self.parameters.iter().flat_map(of).collect()
    }

    /// Parameters to start training from. Drawn on the host, so that a seed gives the same start on every device and beside any
    /// other use of the device's own generator.
    pub(crate) fn initial(&self, seed: u64) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut values = vec![0.0; self.len()];
        for Parameter { key: _, shape, range, role: _, init } in &self.parameters {
            let values = &mut values[range.clone()];
            let width = shape.last().copied().unwrap_or(1).max(1);
            match init {
                Init::Uniform(bound) => values.fill_with(|| random.random_range(-bound..=*bound)),
                Init::Normal(deviation) => values.fill_with(|| deviation * truncated_normal(&mut random)),
                Init::Zeros => {}
                Init::Ones => values.fill(1.0),
                Init::Signs(sections) => {
                    by_section(values, width, sections, || if random.random() { 1.0 } else { -1.0 });
                }
                Init::Gains(sections) => by_section(values, width, sections, || normal(&mut random)),
                Init::SharedRow(bound) => {
                    let row: Vec<f32> = (0..width).map(|_| random.random_range(-bound..=*bound)).collect();
                    values.chunks_mut(width).for_each(|values| values.copy_from_slice(&row));
                }
            }
        }
        values
    }
}

fn by_section(values: &mut [f32], width: usize, sections: &[usize], mut draw: impl FnMut() -> f32) {
    for mut row in values.chunks_mut(width) {
        for section in sections {
            let (here, rest) = row.split_at_mut((*section).min(row.len()));
            here.fill(draw());
            row = rest;
        }
    }
}

/// A standard normal number, after Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    ((-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

fn truncated_normal(random: &mut ChaCha8Rng) -> f32 {
    loop {
        let value = normal(random);
        if value.abs() <= 3.0 {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_tile_the_flat_vector() {
        let mut layout = Layout::default();
        layout.linear("a", 3, 4);
        layout.norm("b", 4);
        layout.add("mean", &[4], Role::Statistic, Init::Zeros);
        let ranges: Vec<Range<usize>> = layout.parameters().iter().map(|p| p.range.clone()).collect();
        assert_eq!(ranges, [0..12, 12..16, 16..20, 20..24, 24..28]);
        assert_eq!((layout.len(), layout.trained()), (28, 24));
        assert_eq!(layout.decay().iter().sum::<f32>(), 12.0);
    }

    #[test]
    fn starts_are_those_of_the_papers_and_of_the_seed() {
        let mut layout = Layout::default();
        layout.add("uniform", &[100, 100], Role::Weight, Init::linear(100));
        layout.add("normal", &[100, 100], Role::Exempt, Init::Normal(0.5));
        layout.add("signs", &[50, 5], Role::Weight, Init::Signs(vec![2, 3]));
        layout.add("gains", &[50, 5], Role::Weight, Init::Gains(vec![2, 3]));
        layout.add("shared", &[3, 4], Role::Exempt, Init::SharedRow(0.5));
        let values = layout.initial(1);
        assert_eq!(values, layout.initial(1));
        assert_ne!(values, layout.initial(2));
        let part = |index: usize| &values[layout.parameters()[index].range.clone()];
        let deviation = |values: &[f32]| (values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32).sqrt();
        assert!(part(0).iter().all(|x| x.abs() <= 0.1));
        // Of a uniform number within ±a the deviation is a / √3; of 10,000 of them it is known to one part in a hundred.
        assert!((deviation(part(0)) - 0.1 / 3_f32.sqrt()).abs() < 1e-3);
        assert!((deviation(part(1)) - 0.5).abs() < 2e-2 && part(1).iter().all(|x| x.abs() <= 1.5));
        for section in part(2).chunks(5).chain(part(3).chunks(5)) {
            assert!(section[0] == section[1] && section[2] == section[3] && section[3] == section[4], "{section:?}");
        }
        assert!(part(2).iter().all(|x| x.abs() == 1.0) && part(2).contains(&-1.0) && part(2).contains(&1.0));
        assert_eq!(part(4)[..4], part(4)[8..]);
    }
}
