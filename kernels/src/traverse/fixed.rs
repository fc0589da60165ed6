//! Leaf values as integers.

/// Sums stay below 2 to this: far enough from 2^63 for every leaf's rounding.
const BITS: i32 = 62;
/// Units of less are not needed: no `f64` but the subnormal ones is finer.
const FINEST: i32 = 1000;

/// Leaf values are multiples of 2 to minus this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale(i32);

impl Scale {
    /// The finest in which sums of at most `magnitude`, a finite number, fit.
    pub(super) fn of(magnitude: f64) -> Self {
        // `magnitude` is below 2 to `exponent`; for subnormal numbers that is more than enough.
        let exponent = ((magnitude.to_bits() >> 52) & 0x7ff) as i32 - 1022;
        Self((BITS - exponent).min(FINEST))
    }

    /// One.
    pub(super) fn unit(self) -> f64 {
        power(-self.0)
    }

    /// The nearest multiple. `value` is within what [`Scale::of`] was told.
    pub(super) fn integer(self, value: f64) -> i64 {
        (value * power(self.0)).round_ties_even() as i64
    }

    /// A multiple as a number, rounded once.
    pub(super) fn number(self, integer: i64) -> f64 {
        integer as f64 * self.unit()
    }
}

/// 2 to a power that is a normal number.
fn power(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023).clamp(1, 2046) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_was_told_and_loses_little() {
        for magnitude in [0.0, 5e-324, 1e-300, 1e-5, 0.5, 1.0, 1.5, 2.0, 12345.678, 1e30, f64::MAX] {
            let scale = Scale::of(magnitude);
            let integer = scale.integer(-magnitude);
            assert!(integer.unsigned_abs() <= 1 << BITS, "{magnitude}: {integer}");
            let lost = (scale.number(integer) + magnitude).abs();
            assert!(lost <= magnitude * 1e-15 || magnitude < 1e-280, "{magnitude}: lost {lost}");
            assert!(scale.unit() <= magnitude * 1e-18 || magnitude < 1e-280, "{magnitude}: {}", scale.unit());
        }
        assert_eq!(Scale::of(1.0).integer(0.75), 3 << (BITS - 3));
    }
}
