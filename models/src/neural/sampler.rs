//! The randomness of training: row orders and dropout masks.
//!
//! Every draw is a function of the seed and the epoch alone (a ChaCha stream per purpose and epoch), so a resumed run draws
//! what the uninterrupted run would have drawn without any generator state in the checkpoint, and runs side by side in one
//! process do not disturb each other, as they would through burn's device-wide generator.

use burn::tensor::{Device, Distribution, Tensor};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::mlp::matrix;

/// Draws row orders and dropout masks for one training run.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    seed: u64,
}

/// What a stream of random numbers is for; the upper half of its number, the epoch being the lower.
#[derive(Clone, Copy)]
enum Purpose {
    Order = 1,
    Masks = 2,
}

impl Sampler {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn stream(&self, purpose: Purpose, epoch: usize) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream((purpose as u64) << 32 | epoch as u64 & 0xFFFF_FFFF);
        generator
    }

    /// The order in which epoch `epoch` visits rows `0..rows`.
    pub(crate) fn order(&self, epoch: usize, rows: usize) -> Vec<i32> {
        let mut order: Vec<i32> = (0..i32::try_from(rows).unwrap_or(i32::MAX)).collect();
        order.shuffle(&mut self.stream(Purpose::Order, epoch));
        order
    }

    /// The dropout masks of epoch `epoch`, for hidden layers of `hidden` units. On the host's cores (`on_host`) they are
    /// drawn here, so that a seed decides every bit; elsewhere by the device, where drawing is faster than uploading.
    pub(crate) fn masks(&self, epoch: usize, hidden: &[usize], dropout: f64, device: &Device, on_host: bool) -> Masks {
        let generator = self.stream(Purpose::Masks, epoch);
        if !on_host && dropout > 0.0 {
            device.seed(self.seed ^ (epoch as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        let hidden = if dropout > 0.0 { hidden.to_vec() } else { Vec::new() };
        Masks { generator, hidden, keep: 1.0 - dropout, device: device.clone(), on_host }
    }
}

/// Draws the dropout masks of one epoch, step by step.
pub(crate) struct Masks {
    generator: ChaCha8Rng,
    hidden: Vec<usize>,
    keep: f64,
    device: Device,
    on_host: bool,
}

impl Masks {
    /// The masks of the next step, `[rows, hidden_i]` each: 0 with the dropout's probability, else 1 / (1 − dropout).
    /// None when there is no dropout.
    pub(crate) fn next(&mut self, rows: usize) -> Vec<Tensor<2>> {
        let hidden = std::mem::take(&mut self.hidden);
        let masks = hidden.iter().map(|units| self.draw(rows, *units)).collect();
        self.hidden = hidden;
        masks
    }

    fn draw(&mut self, rows: usize, units: usize) -> Tensor<2> {
        if !self.on_host {
            let ones = Tensor::<2>::random([rows, units], Distribution::Bernoulli(self.keep), &self.device);
            return ones.mul_scalar(1.0 / self.keep);
        }
        // Sixteen bits an element are plenty for a probability; the scale is the exact inverse of what they give.
        let mut words = vec![0_u16; rows * units];
        self.generator.fill_bytes(bytemuck::cast_slice_mut(&mut words));
        #[expect(clippy::cast_sign_loss, reason = "a probability is not negative")]
        let threshold = (self.keep * 65_536.0).round().max(1.0) as u32;
        let scale = (65_536.0 / f64::from(threshold)) as f32;
        let values = words.iter().map(|word| if u32::from(*word) < threshold { scale } else { 0.0 }).collect();
        matrix(values, units, &self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_permutations_that_differ_by_epoch_and_seed() {
        let order = |seed, epoch| Sampler::new(seed).order(epoch, 100);
        let mut sorted = order(1, 1);
        assert_eq!(sorted, order(1, 1));
        assert_ne!(sorted, order(1, 2));
        assert_ne!(sorted, order(2, 1));
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn masks_keep_the_mean_and_drop_the_asked_share() {
        let device = Device::flex();
        let mut masks = Sampler::new(5).masks(1, &[64], 0.3, &device, true);
        let values: Vec<f32> = masks.next(500)[0].clone().into_data().try_into_vec().unwrap();
        let dropped = values.iter().filter(|value| **value == 0.0).count() as f64 / values.len() as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        // 32,000 draws: three standard deviations of the share are 0.008.
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        assert!((mean - 1.0).abs() < 0.015, "{mean}");
    }

    #[test]
    fn a_later_epoch_does_not_depend_on_an_earlier_one() {
        let device = Device::flex();
        let sampler = Sampler::new(5);
        let first = |epoch, skip: usize| {
            let mut masks = sampler.masks(epoch, &[8], 0.5, &device, true);
            (0..skip).for_each(|_| drop(masks.next(4)));
            masks.next(4)[0].clone().into_data()
        };
        assert_eq!(first(2, 0), first(2, 0));
        assert_ne!(first(2, 0), first(2, 1));
        assert_ne!(first(2, 0), first(3, 0));
    }
}
