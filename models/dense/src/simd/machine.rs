//! Which instructions the machine has, asked when it runs.

use std::fmt;

use super::{Simd, Work, portable::Portable};

/// Vector instructions that nets are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instructions {
    /// AVX-512 (F, VL, BW and DQ).
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// What every machine of this architecture has.
    Portable,
}

impl Instructions {
    /// Those that this machine has, the best first.
    #[must_use]
    pub fn here() -> Vec<Self> {
        let mut here = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            here.extend(super::avx512::Avx512::new().map(|_machine| Self::Avx512));
            here.extend(super::avx2::Avx2::new().map(|_machine| Self::Avx2));
        }
        here.push(Self::Portable);
        here
    }

    /// The best ones of this machine.
    #[must_use]
    pub fn best() -> Self {
        Self::here().first().copied().unwrap_or(Self::Portable)
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Portable => "no vector instructions of its own",
        })
    }
}

/// Proof that the machine has the instructions, to run what is compiled for them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Machine {
    #[cfg(target_arch = "x86_64")]
    Avx512(super::avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(super::avx2::Avx2),
    Portable,
}

impl Machine {
    /// The machine with these instructions; without those that it lacks.
    pub(crate) fn with(instructions: Instructions) -> Self {
        match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => super::avx512::Avx512::new().map_or(Self::Portable, Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => super::avx2::Avx2::new().map_or(Self::Portable, Self::Avx2),
            #[cfg(not(target_arch = "x86_64"))]
            Instructions::Avx512 | Instructions::Avx2 => Self::Portable,
            Instructions::Portable => Self::Portable,
        }
    }

    /// What it has.
    pub(crate) const fn instructions(self) -> Instructions {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Instructions::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Instructions::Avx2,
            Self::Portable => Instructions::Portable,
        }
    }

    /// [`Simd::ABREAST`].
    pub(crate) const fn abreast(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => super::avx512::Avx512::ABREAST,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => super::avx2::Avx2::ABREAST,
            Self::Portable => Portable::ABREAST,
        }
    }

    /// Runs `work` with the machine's vectors.
    pub(crate) fn call<W: Work>(self, work: W) -> W::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(machine) => machine.call(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(machine) => machine.call(work),
            Self::Portable => Portable.call(work),
        }
    }
}
