//! What rows are made of.

use crate::ensemble::{Precision, Rules};

/// An element type of rows: f32 or f64.
pub trait Value: Copy + Send + Sync + private::Sealed {
    /// The value as f64, in the precision in which it is compared.
    fn wide(self, rules: Rules) -> f64;
    /// The nearest f32.
    fn narrow(self) -> f32;
    /// The values as they are, if they are f32.
    fn f32s(values: &[Self]) -> Option<&[f32]>;
    /// Copies the values to `out` as f32; false when one of them is no f32 and is not compared as one either.
    fn narrowed(values: &[Self], rules: Rules, out: &mut Vec<f32>) -> bool;
    /// Whether [`Value::narrow`] lies on the same side of every threshold as the value itself, once thresholds are rounded down.
    fn compares_as_f32(rules: Rules) -> bool;
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Value for f32 {
    fn wide(self, _: Rules) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn narrow(self) -> f32 {
        self
    }

    fn f32s(values: &[Self]) -> Option<&[f32]> {
        Some(values)
    }

    fn narrowed(values: &[Self], _: Rules, out: &mut Vec<f32>) -> bool {
        out.clear();
        out.extend_from_slice(values);
        true
    }

    fn compares_as_f32(_: Rules) -> bool {
        true
    }
}

impl Value for f64 {
    fn wide(self, rules: Rules) -> f64 {
        rules.compare.round(self)
    }

    #[inline(always)]
    fn narrow(self) -> f32 {
        self as f32
    }

    fn f32s(_: &[Self]) -> Option<&[f32]> {
        None
    }

    fn narrowed(values: &[Self], rules: Rules, out: &mut Vec<f32>) -> bool {
        out.clear();
        if Self::compares_as_f32(rules) {
            out.extend(values.iter().map(|value| *value as f32));
            return true;
        }
        // Piece by piece: rows of f64 are known by their first numbers.
        values.chunks(64).all(|values| {
            out.extend(values.iter().map(|value| *value as f32));
            let copies = &out[out.len() - values.len()..];
            let same = |(value, copy): (&f64, &f32)| (f64::from(*copy) == *value) | value.is_nan();
            values.iter().zip(copies).fold(true, |all, pair| all & same(pair))
        })
    }

    fn compares_as_f32(rules: Rules) -> bool {
        matches!(rules.compare, Precision::F32)
    }
}
