//! Integrals of polynomials over [0, 1], without error but rounding.

/// Points that are computed together; four f64 fill one AVX2 register.
pub(super) const LANES: usize = 4;

/// A number for each of [`LANES`] points.
pub(super) type Lanes = [f64; LANES];

/// A number for each point. `array::from_fn` would do as well, but stays a call at each point.
#[inline]
pub(super) fn lanes(number: impl Fn(usize) -> f64) -> Lanes {
    let mut lanes = [0.0; LANES];
    for (lane, place) in lanes.iter_mut().enumerate() {
        *place = number(lane);
    }
    lanes
}

/// Points of a quadrature rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Points {
    /// Where: t in (0, 1).
    pub(super) at: Lanes,
    /// `1 − t`, which is exact to the last digit near 1, where the difference would not be.
    pub(super) rest: Lanes,
    /// How much the value there counts.
    pub(super) weight: Lanes,
    /// `−1 / (1 − t)`.
    pub(super) cold: Lanes,
}

/// The Gauss–Legendre rule of `LANES · groups` points over [0, 1]. It integrates polynomials of degree
/// `2 · LANES · groups − 1` exactly, and its weights are positive, so that nothing cancels.
pub(super) fn gauss_legendre(groups: usize) -> Vec<Points> {
    let count = LANES * groups;
    let mut rule =
        vec![Points { at: [0.0; LANES], rest: [0.0; LANES], weight: [0.0; LANES], cold: [0.0; LANES] }; groups];
    // The rule is symmetric: from each root x of [-1, 1] we also have -x.
    for place in 0..count / 2 {
        let (root, slope) = legendre_root(count, place);
        let (near, far) = (0.5 * (1.0 - root), 0.5 * (1.0 + root));
        let weight = 1.0 / ((1.0 - root) * (1.0 + root) * slope * slope);
        for (place, at, rest) in [(place, near, far), (count - 1 - place, far, near)] {
            let (points, lane) = (&mut rule[place / LANES], place % LANES);
            (points.at[lane], points.rest[lane], points.weight[lane]) = (at, rest, weight);
            points.cold[lane] = -1.0 / rest;
        }
    }
    rule
}

/// The `place`-th greatest root of the Legendre polynomial of this degree, and the polynomial's slope there.
fn legendre_root(degree: usize, place: usize) -> (f64, f64) {
    let n = degree as f64;
    // Tricomi's first guess; Newton's method doubles its digits each time, and four times are more than enough.
    let mut x = (std::f64::consts::PI * (place as f64 + 0.75) / (n + 0.5)).cos();
    let mut slope = 1.0;
    for _ in 0..6 {
        let (mut before, mut value) = (1.0, x);
        for k in 2..=degree {
            let k = k as f64;
            (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
        }
        slope = n * (before - x * value) / ((1.0 - x) * (1.0 + x));
        x -= value / slope;
    }
    (x, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integral(rule: &[Points], f: impl Fn(f64, f64) -> f64) -> f64 {
        rule.iter().flat_map(|p| (0..LANES).map(|lane| p.weight[lane] * f(p.at[lane], p.rest[lane]))).sum()
    }

    #[test]
    fn four_points_are_those_of_the_tables() {
        let rule = gauss_legendre(1);
        // Abramowitz & Stegun, table 25.4, n = 4, moved from [-1, 1] to [0, 1].
        let expected = [
            (0.069_431_844_202_973_71, 0.173_927_422_568_726_93),
            (0.330_009_478_207_571_87, 0.326_072_577_431_273_07),
            (0.669_990_521_792_428_1, 0.326_072_577_431_273_07),
            (0.930_568_155_797_026_3, 0.173_927_422_568_726_93),
        ];
        for (lane, (at, weight)) in expected.into_iter().enumerate() {
            assert!((rule[0].at[lane] - at).abs() < 1e-15, "{:?}", rule[0].at);
            assert!((rule[0].weight[lane] - weight).abs() < 1e-15, "{:?}", rule[0].weight);
        }
    }

    #[test]
    fn integrates_every_degree_it_promises() {
        for groups in [1, 2, 3, 7, 16, 64] {
            let rule = gauss_legendre(groups);
            let top = 2 * LANES * groups - 1;
            for degree in [0, 1, 2, top / 2, top - 1, top] {
                // ∫ t^a (1 − t)^b dt = a! b! / (a + b + 1)!, here with b = 0, a = 0 and a = b.
                let exact = 1.0 / (degree as f64 + 1.0);
                for got in
                    [integral(&rule, |t, _| t.powf(degree as f64)), integral(&rule, |_, rest| rest.powf(degree as f64))]
                {
                    assert!(
                        (got - exact).abs() <= 1e-13 * exact,
                        "{groups} groups, degree {degree}: {got} for {exact}"
                    );
                }
            }
            let half = top / 2;
            let exact: f64 = (1..=half).map(|k| k as f64 / (half + k) as f64).product::<f64>() / (2 * half + 1) as f64;
            let got = integral(&rule, |t, rest| (t * rest).powf(half as f64));
            assert!((got - exact).abs() <= 1e-12 * exact, "{groups} groups: {got} for {exact}");
        }
    }

    #[test]
    fn one_degree_more_is_beyond_it() {
        let rule = gauss_legendre(1);
        assert!((integral(&rule, |t, _| t.powi(8)) - 1.0 / 9.0).abs() > 1e-6);
    }
}
