//! Numbers as they stand in a body, and their values.
//!
//! While a literal is scanned, its digits are gathered in an integer, so that the usual short number becomes its value
//! with one division and no second look at its text. What that cannot do exactly is left to the standard library; either
//! way a float is rounded once, from the decimal digits to the type it is wanted in.

/// 10^k for every k whose power of ten is exact in an f64.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Up to here every integer is exact in an f64.
const EXACT: u64 = 1 << 53;
/// This many digits always fit in a u64.
const MOST_DIGITS: usize = 19;

/// A number of a body: a JSON number, `NaN`, `Infinity` or `-Infinity`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Literal<'a> {
    text: &'a [u8],
    negative: bool,
    /// All digits as one integer and the power of ten it is multiplied by, where the digits fit.
    decimal: Option<(u64, i32)>,
}

impl<'a> Literal<'a> {
    /// Scans the number at the start of `bytes`; none when there is no number, or one that ends badly.
    #[inline]
    pub(super) fn scan(bytes: &'a [u8]) -> Option<Self> {
        let negative = bytes.first() == Some(&b'-');
        let mut scan = Scan { bytes, at: usize::from(negative), mantissa: 0 };
        let start = scan.at;
        match bytes.get(start) {
            Some(b'0') => scan.at += 1,
            Some(b'1'..=b'9') => scan.digits(),
            Some(b'I') => return Self::word(bytes, start, b"Infinity"),
            Some(b'N') if !negative => return Self::word(bytes, start, b"NaN"),
            _ => return None,
        }
        let mut digits = scan.at - start;
        let mut exponent = 0_i32;
        if bytes.get(scan.at) == Some(&b'.') {
            scan.at += 1;
            let start = scan.at;
            scan.digits();
            let decimals = scan.at - start;
            if decimals == 0 {
                return None;
            }
            digits += decimals;
            exponent = -i32::try_from(decimals).unwrap_or(i32::MAX);
        }
        if matches!(bytes.get(scan.at), Some(b'e' | b'E')) {
            scan.at += 1;
            exponent = exponent.saturating_add(scan.exponent()?);
        }
        let decimal = (digits <= MOST_DIGITS).then_some((scan.mantissa, exponent));
        Some(Self { text: &bytes[..scan.at], negative, decimal })
    }

    /// Length in bytes.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }

    /// The text as it was sent.
    pub(super) fn text(&self) -> &'a str {
        // It is made of ASCII only.
        std::str::from_utf8(self.text).unwrap_or_default()
    }

    /// The value as an f64; none when it is out of range. `Infinity` itself is not.
    #[inline]
    pub(super) fn to_f64(self) -> Option<f64> {
        self.exact().or_else(|| self.parsed())
    }

    /// The value as an f32; none when it is out of range. `Infinity` itself is not.
    #[inline]
    pub(super) fn to_f32(self) -> Option<f32> {
        /// The bits that an f64 has and an f32 has not, and their value halfway between two f32.
        const BELOW: u64 = (1 << 29) - 1;
        const HALFWAY: u64 = 1 << 28;
        // An f64 that is not halfway between two f32 lies on the same side of the middle as the decimal it was rounded
        // from, so rounding it again gives what rounding the decimal would have given.
        match self.exact() {
            Some(0.0) => Some(if self.negative { -0.0 } else { 0.0 }),
            Some(value)
                if value.to_bits() & BELOW != HALFWAY
                    && (f64::from(f32::MIN_POSITIVE)..f64::from(f32::MAX)).contains(&value.abs()) =>
            {
                Some(value as f32)
            }
            _ => self.parsed(),
        }
    }

    /// The value as an integer; none when it has a fraction or is out of range. A float that is whole is taken too, up to
    /// 2^53, because JSON does not tell `3.0` from `3`.
    #[inline]
    pub(super) fn to_integer<T: TryFrom<u64> + TryFrom<i64> + std::str::FromStr>(self) -> Option<T> {
        match (self.decimal, self.negative) {
            (Some((mantissa, 0)), false) => T::try_from(mantissa).ok(),
            (Some((mantissa, 0)), true) => T::try_from(0_i64.checked_sub_unsigned(mantissa)?).ok(),
            _ => self.text().parse().ok().or_else(|| self.whole()),
        }
    }

    #[cold]
    fn whole<T: TryFrom<i64>>(self) -> Option<T> {
        let value = self.to_f64()?;
        let whole = value.fract() == 0.0 && value.abs() <= EXACT as f64;
        if whole { T::try_from(value as i64).ok() } else { None }
    }

    /// The value when both the digits and the power of ten are exact, so that one operation rounds once.
    #[inline]
    fn exact(&self) -> Option<f64> {
        let (mantissa, exponent) = self.decimal.filter(|(mantissa, _)| *mantissa <= EXACT)?;
        let power = *POWERS.get(exponent.unsigned_abs() as usize)?;
        let digits = mantissa as f64;
        let value = if exponent < 0 { digits / power } else { digits * power };
        Some(if self.negative { -value } else { value })
    }

    #[cold]
    fn parsed<T: std::str::FromStr + Into<f64> + Copy>(&self) -> Option<T> {
        let value = self.text().parse::<T>().ok()?;
        (!Into::<f64>::into(value).is_infinite() || self.text.ends_with(b"Infinity")).then_some(value)
    }

    #[cold]
    fn word(bytes: &'a [u8], start: usize, word: &[u8]) -> Option<Self> {
        let text = bytes.get(..start + word.len()).filter(|text| text.ends_with(word))?;
        Some(Self { text, negative: start > 0, decimal: None })
    }
}

/// A place in a literal, and the digits before it.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Wraps when there are more digits than fit; it is not used then.
    mantissa: u64,
}

impl Scan<'_> {
    #[inline]
    fn digits(&mut self) {
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            self.mantissa = self.mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
    }

    /// The exponent behind `e`, which stops growing at the largest i32; none when there is no digit.
    fn exponent(&mut self) -> Option<i32> {
        let negative = self.bytes.get(self.at) == Some(&b'-');
        if negative || self.bytes.get(self.at) == Some(&b'+') {
            self.at += 1;
        }
        let start = self.at;
        let mut exponent = 0_i32;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            exponent = exponent.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
            self.at += 1;
        }
        (self.at > start).then_some(if negative { -exponent } else { exponent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(text: &str) -> Literal<'_> {
        let literal = Literal::scan(text.as_bytes()).unwrap();
        assert_eq!(literal.text(), text);
        literal
    }

    /// The standard library is the judge: it rounds once, whatever the digits.
    fn agrees(text: &str) {
        let finite = |value: f64| value.is_finite().then_some(value.to_bits());
        assert_eq!(literal(text).to_f64().map(f64::to_bits), finite(text.parse().unwrap()), "{text}");
        let single: f32 = text.parse().unwrap();
        assert_eq!(literal(text).to_f32().map(f32::to_bits), single.is_finite().then_some(single.to_bits()), "{text}");
    }

    #[test]
    fn rounds_as_the_standard_library_does_where_it_is_hard() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "0e5",
            "1",
            "-1.5",
            "0.1",
            "3.4028235e38",
            "3.4028236e38",
            "3.40282357e38",
            "1e39",
            "-1e39",
            "1.1754943e-38",
            "1.1754942e-38",
            "1e-45",
            "7e-46",
            "1e-400",
            "1e400",
            "1e99999",
            "1e-99999",
            "0e99999",
            "1e99999999999",
            "1e-99999999999",
            // Halfway between two f32, and a hair beside it.
            "1.00000005960464477539062500000000001",
            "1.000000059604644775390625",
            "16777217",
            "16777217.0000000001",
            "16777219",
            "9007199254740993",
            "9007199254740992.5",
            "33554434.5",
            "123456789012345678901234567890",
            "0.000000000000000000000000000000000000000000001",
            "1234567890123456789e-20",
            "9999999999999999999",
        ] {
            agrees(text);
        }
    }

    #[test]
    fn integers_are_exact_and_in_range() {
        assert_eq!(literal("9007199254740993").to_integer(), Some(9_007_199_254_740_993_i64));
        assert_eq!(literal("-9223372036854775808").to_integer(), Some(i64::MIN));
        assert_eq!(literal("9223372036854775808").to_integer::<i64>(), None);
        assert_eq!(literal("18446744073709551615").to_integer(), Some(u64::MAX));
        assert_eq!(literal("18446744073709551616").to_integer::<u64>(), None);
        assert_eq!(literal("-0").to_integer(), Some(0_u8));
        assert_eq!(literal("-1").to_integer::<u8>(), None);
        assert_eq!(literal("256").to_integer::<u8>(), None);
        assert_eq!((literal("3.0").to_integer(), literal("-1e3").to_integer()), (Some(3_i16), Some(-1000_i16)));
        assert_eq!(literal("30e-1").to_integer(), Some(3_u8));
        assert_eq!(literal("9007199254740993.0e1").to_integer(), Some(90_071_992_547_409_930_i64));
        for text in ["1.5", "NaN", "Infinity", "1e300"] {
            assert_eq!(literal(text).to_integer::<i64>(), None, "{text}");
        }
    }

    #[test]
    fn ends_where_the_number_ends() {
        for (text, length) in
            [("12,", Some(2)), ("0123", Some(1)), ("-Infinity]", Some(9)), ("NaN", Some(3)), ("1e5e", Some(3))]
        {
            assert_eq!(Literal::scan(text.as_bytes()).map(|literal| literal.len()), length, "{text}");
        }
        for text in ["", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "-NaN", "Infinit", "nan", "x"] {
            assert!(Literal::scan(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn rounds_as_the_standard_library_does(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
            agrees(&text);
        }

        #[test]
        fn rounds_short_numbers_as_the_standard_library_does(text in "-?[1-9][0-9]{0,8}\\.[0-9]{1,8}") {
            agrees(&text);
        }

        /// Around the middle between two f32, where rounding twice goes wrong.
        #[test]
        fn rounds_middles_as_the_standard_library_does(bits in 1_u32..0x7f7f_ffff, digits in 15_usize..24) {
            let middle = f64::midpoint(f64::from(f32::from_bits(bits)), f64::from(f32::from_bits(bits + 1)));
            agrees(&format!("{middle:.digits$e}"));
        }
    }
}
