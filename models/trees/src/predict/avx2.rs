//! The plain ways, compiled for AVX2: 32 bytes an instruction where the architecture promises 16.

#![expect(unsafe_code, reason = "the functions need instructions that `new` asked for")]

use super::{
    codes::Codes,
    masks::{Lanes, Steps},
    search::Portable,
    value::Value,
};
use crate::ensemble::Rules;

/// Proof that the machine has the instructions that this module uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2 {
    _asked: (),
}

impl Avx2 {
    /// Asks the machine.
    pub(super) fn new() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self { _asked: () })
    }

    /// [`Codes::row`].
    pub(super) fn code<T: Value>(_: Self, codes: &Codes, row: &[T], rules: Rules, stride: usize, out: &mut [u8]) {
        // SAFETY: `new` asked for the feature.
        unsafe { code(codes, row, rules, stride, out) }
    }

    /// [`Steps::leaves`].
    pub(super) fn leaves(_: Self, steps: &Steps, codes: &[Lanes], masks: &mut [Lanes], out: &mut Lanes) {
        // SAFETY: `new` asked for the feature.
        unsafe { leaves(steps, codes, masks, out) }
    }
}

#[target_feature(enable = "avx2")]
fn code<T: Value>(codes: &Codes, row: &[T], rules: Rules, stride: usize, out: &mut [u8]) {
    codes.row(Portable, row, rules, stride, out);
}

#[target_feature(enable = "avx2")]
fn leaves(steps: &Steps, codes: &[Lanes], masks: &mut [Lanes], out: &mut Lanes) {
    steps.leaves(codes, masks, out);
}
