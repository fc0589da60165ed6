//! The randomness of training: row orders and dropout masks.
//!
//! Every draw is a function of the seed, the epoch and the step alone (a `ChaCha` stream each), so a resumed run draws
//! what the uninterrupted run would have drawn without any generator state in the checkpoint, and runs side by side in one
//! process do not disturb each other, as they would through burn's device-wide generator.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Draws row orders and dropout masks for one training run.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    seed: u64,
}

/// What a stream of random numbers is for.
#[derive(Clone, Copy)]
enum Purpose {
    Order = 1,
    Masks = 2,
}

impl Sampler {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn stream(&self, purpose: Purpose, epoch: usize, step: usize) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream((purpose as u64) << 60 | (epoch as u64 & 0x0FFF_FFFF) << 32 | step as u64 & 0xFFFF_FFFF);
        generator
    }

    /// The order in which epoch `epoch` visits rows `0..rows`.
    pub(crate) fn order(&self, epoch: usize, rows: usize) -> Vec<i32> {
        let mut order: Vec<i32> = (0..i32::try_from(rows).unwrap_or(i32::MAX)).collect();
        order.shuffle(&mut self.stream(Purpose::Order, epoch, 0));
        order
    }

    /// The noise of step `step` of epoch `epoch`. On the host's cores (`on_host`) it is drawn here, so that a seed decides every
    /// bit; elsewhere by the device, where drawing is faster than uploading.
    pub(crate) fn noise(&self, epoch: usize, step: usize, device: &Device, on_host: bool) -> Noise {
        if !on_host {
            device.seed(self.seed ^ ((epoch as u64) << 32 | step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        Noise { random: self.stream(Purpose::Masks, epoch, step), device: device.clone(), on_host }
    }
}

/// Draws the dropout masks of one step.
pub(crate) struct Noise {
    random: ChaCha8Rng,
    device: Device,
    on_host: bool,
}

impl Noise {
    /// The next mask: 0 with probability `part`, else 1 / (1 − `part`).
    pub(crate) fn mask<const D: usize>(&mut self, shape: [usize; D], part: f64) -> Tensor<D> {
        let keep = 1.0 - part;
        if !self.on_host {
            return Tensor::random(shape, Distribution::Bernoulli(keep), &self.device).mul_scalar(1.0 / keep);
        }
        // Sixteen bits an element are plenty for a probability; the scale is the exact inverse of what they give.
        let mut words = vec![0_u16; shape.iter().product()];
        self.random.fill_bytes(bytemuck::cast_slice_mut(&mut words));
        #[expect(clippy::cast_sign_loss, reason = "a probability is not negative")]
        let threshold = (keep * 65_536.0).round().max(1.0) as u32;
        let scale = (65_536.0 / f64::from(threshold)) as f32;
        let values: Vec<f32> =
            words.iter().map(|word| if u32::from(*word) < threshold { scale } else { 0.0 }).collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
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
        let mut noise = Sampler::new(5).noise(1, 0, &Device::flex(), true);
        let values: Vec<f32> = noise.mask([500, 64], 0.3).into_data().try_into_vec().unwrap();
        let dropped = values.iter().filter(|value| **value == 0.0).count() as f64 / values.len() as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        // 32,000 draws: three standard deviations of the share are 0.008.
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        assert!((mean - 1.0).abs() < 0.015, "{mean}");
    }

    #[test]
    fn every_step_draws_its_own_whatever_came_before() {
        let first = |epoch, step| {
            let mut noise = Sampler::new(5).noise(epoch, step, &Device::flex(), true);
            noise.mask([4, 8], 0.5).into_data()
        };
        assert_eq!(first(2, 3), first(2, 3));
        assert_ne!(first(2, 3), first(2, 4));
        assert_ne!(first(2, 3), first(3, 3));
    }
}
