//! Mixed precision (Micikevicius et al., "Mixed Precision Training", 2018): in training, matrices are multiplied in half precision,
//! forwards and backwards, and everything else stays in F32: parameters, optimizer, norms, softmax, losses and sums. What is judged,
//! saved and served is computed in F32.

use std::{fmt, str::FromStr};

use burn::tensor::{Device, FloatDType};
use contract::DeviceKind;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    device::{list, to_burn},
};

/// What matrices are multiplied in while a net is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, five of them the exponent: small gradients need a [`Scale`].
    F16,
    /// 16 bits, eight of them the exponent, as in F32.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// The name, such as `bf16`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Half precision, if it is one.
    pub(crate) const fn half(self) -> Option<FloatDType> {
        match self {
            Self::F32 => None,
            Self::F16 => Some(FloatDType::F16),
            Self::Bf16 => Some(FloatDType::BF16),
        }
    }

    /// What `auto` means on `device`: half precision on a GPU of silicon that computes in it, else F32, because a CPU, and an adapter
    /// that computes on one, gain nothing by half.
    ///
    /// # Errors
    /// [`Error::Device`] when there is no such device.
    pub fn auto(device: &contract::Device) -> Result<Self> {
        // The CPU is told without asking a driver.
        let real =
            device.kind != DeviceKind::Cpu && list().iter().any(|found| found.device == *device && found.is_real_gpu());
        if !real {
            return Ok(Self::F32);
        }
        let burn_device = to_burn(device)?;
        Ok(Self::best(|precision| precision.is_on(&burn_device)))
    }

    /// The one to train in where `has` says which there are: BF16 before F16, because it needs no scale, and F32 last.
    fn best(has: impl Fn(Self) -> bool) -> Self {
        [Self::Bf16, Self::F16].into_iter().find(|precision| has(*precision)).unwrap_or(Self::F32)
    }

    /// Whether `device` computes in this precision.
    pub(crate) fn is_on(self, device: &Device) -> bool {
        self.half().is_none_or(|half| device.supports_dtype(half))
    }

    /// Checks that `device`, called `name`, computes in this precision.
    ///
    /// # Errors
    /// [`Error::Setting`] that names those which it has.
    pub(crate) fn check(self, device: &Device, name: &str) -> Result<()> {
        if self.is_on(device) {
            return Ok(());
        }
        let those = Self::ALL.into_iter().filter(|precision| precision.is_on(device)).map(Self::as_str);
        let those = those.collect::<Vec<_>>().join(" or ");
        Err(Error::Setting(format!("expected a precision that {name} computes in ({those}), got {self}")))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|precision| precision.as_str() == text)
            .ok_or_else(|| format!("expected one of {}, got '{text}'", known()))
    }
}

/// What the loss is multiplied by before its gradients are taken, and these divided by afterwards, so that small ones are not lost in
/// F16: as large as lets them stay finite. A step whose gradients are not is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scale {
    factor: f64,
    /// Steps since it changed or a step was left out.
    good: u32,
}

impl Scale {
    /// Where it starts, how many good steps double it, and its bounds: `PyTorch`'s `GradScaler`, but that it is never below 1, where it
    /// would not help any more.
    const START: f64 = 65_536.0;
    const INTERVAL: u32 = 2000;
    const MOST: f64 = 16_777_216.0;

    /// That of a training in `precision` which begins; none where none is needed.
    pub(crate) fn new(precision: Precision) -> Option<Self> {
        (precision == Precision::F16).then_some(Self { factor: Self::START, good: 0 })
    }

    pub(crate) const fn factor(self) -> f64 {
        self.factor
    }

    /// Takes note of a step's gradients; says whether the step is to be taken. Those that are not finite although nothing multiplies
    /// them are the net's own, and its step is taken, for the loss to show it.
    pub(crate) fn note(&mut self, finite: bool) -> bool {
        if !finite {
            let helps = self.factor > 1.0;
            *self = Self { factor: (self.factor / 2.0).max(1.0), good: 0 };
            return !helps;
        }
        self.good += 1;
        if self.good == Self::INTERVAL {
            *self = Self { factor: (self.factor * 2.0).min(Self::MOST), good: 0 };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_read_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert_eq!("fp8".parse::<Precision>(), Err("expected one of f32, f16, bf16, got 'fp8'".to_owned()));
        assert_eq!(Scale::new(Precision::Bf16), None);
    }

    #[test]
    fn auto_takes_bf16_then_f16_and_f32_where_there_is_no_half() {
        for (there, best) in [
            (&Precision::ALL[..], Precision::Bf16),
            (&[Precision::F32, Precision::F16][..], Precision::F16),
            (&[Precision::F32][..], Precision::F32),
        ] {
            assert_eq!(Precision::best(|precision| there.contains(&precision)), best, "of {there:?}");
        }
        // The CPU's tensors can be in half precision, which costs more than it brings.
        assert!(Precision::F16.is_on(&Device::flex()));
        assert_eq!(Precision::auto(&contract::Device::cpu()).unwrap(), Precision::F32);
    }

    #[test]
    fn a_scale_doubles_after_good_steps_and_halves_after_a_bad_one() {
        let mut scale = Scale::new(Precision::F16).unwrap();
        assert!(!scale.note(false));
        assert_eq!(scale.factor(), 32_768.0);
        assert!((0..1999).all(|_| scale.note(true)));
        assert_eq!(scale.factor(), 32_768.0);
        assert!(scale.note(true));
        assert_eq!(scale.factor(), 65_536.0);
        assert_eq!((0..16).filter(|_| scale.note(false)).count(), 0);
        assert_eq!(scale.factor(), 1.0);
        assert!(scale.note(false), "gradients that nothing multiplies are the net's own");
    }

    proptest! {
        #[test]
        fn a_scale_stays_a_power_of_two_in_its_bounds(steps in proptest::collection::vec((0..3000_u32, any::<bool>()), 0..40)) {
            let mut scale = Scale::new(Precision::F16).unwrap();
            for (times, finite) in steps {
                for _ in 0..times.min(if finite { 3000 } else { 40 }) {
                    scale.note(finite);
                }
                prop_assert!((1.0..=Scale::MOST).contains(&scale.factor()));
                prop_assert_eq!(scale.factor().log2().fract(), 0.0);
            }
        }
    }
}
