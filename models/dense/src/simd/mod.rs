//! Sixteen numbers at once, by the instructions of the machine.
//!
//! Whatever the instructions, a vector has 16 lanes (one register of AVX-512, two of AVX2), so that sums over lanes are taken in
//! the same order: AVX-512 and AVX2 give the same bits. Only the plain vectors differ
//! where the machine has no fused multiply-add.

#![expect(clippy::inline_always, reason = "only what is inlined into a function gets that function's instructions")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod machine;
mod portable;

pub use machine::Instructions;
pub(crate) use machine::Machine;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// A vector in memory, where one cache line holds it.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; LANES]);

impl Line {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);
}

/// Vectors by one set of instructions. A value of the type is the proof that the machine has them.
///
/// Every method is inlined into what [`Simd::call`] runs, and must be called from there alone: elsewhere each would be a call
/// of its own.
pub(crate) trait Simd: Copy {
    /// 16 numbers.
    type V: Copy;
    /// Vectors of units that are summed abreast.
    const ABREAST: usize;
    /// Rows whose sums over so many vectors stay in registers.
    const ROWS: usize;

    /// Runs `work` in a function that is compiled for the instructions.
    fn call<W: Work>(self, work: W) -> W::Output;

    fn splat(self, value: f32) -> Self::V;
    fn load(self, values: &[f32; LANES]) -> Self::V;
    fn store(self, vector: Self::V, out: &mut [f32; LANES]);
    /// Up to 16 values, and zeros behind them.
    fn load_part(self, values: &[f32]) -> Self::V;
    /// The first of the lanes, as many as `out` has room for.
    fn store_part(self, vector: Self::V, out: &mut [f32]);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once where the machine can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// What rounding took from `product`, which is `a · b` rounded.
    fn product_error(self, a: Self::V, b: Self::V, product: Self::V) -> Self::V;
    /// The larger one; `b` where either is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller one; `b` where either is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest whole number, to the even one of two.
    fn round(self, a: Self::V) -> Self::V;
    /// Two to the power of whole numbers from -127 to 127; zero for -127.
    fn power_of_two(self, exponent: Self::V) -> Self::V;
    /// `yes` in lanes where `a` equals `b`, `no` in the others.
    fn select_equal(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;

    /// The sum of the lanes: first those eight apart, then four, two, one.
    fn sum(self, a: Self::V) -> f32;
    /// The largest lane; any of them where one is not a number.
    fn largest(self, a: Self::V) -> f32;

    /// What is not a number stays so.
    #[inline(always)]
    fn rectify(self, a: Self::V) -> Self::V {
        self.max(self.splat(0.0), a)
    }
}

/// What is computed with vectors of any kind. Implementations must be `#[inline(always)]`, as must all that they call with the
/// vectors: only what is inlined into a function gets that function's instructions.
pub(crate) trait Work {
    type Output;

    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
