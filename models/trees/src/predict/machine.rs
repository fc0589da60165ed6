//! The vector instructions of the machine.

use std::fmt;

/// Vector instructions that answers are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instructions {
    /// AVX-512 (F, BW, CD and VBMI).
    Avx512,
    /// AVX2.
    Avx2,
    /// What every machine of this architecture has.
    Portable,
}

impl Instructions {
    /// Those that this machine has, the best first.
    #[must_use]
    #[cfg_attr(not(target_arch = "x86_64"), expect(clippy::vec_init_then_push, reason = "there is nothing to ask for"))]
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

/// Proof that the machine has the instructions, to call what is compiled for them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Machine {
    #[cfg(target_arch = "x86_64")]
    Avx512(super::avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(super::avx2::Avx2),
    Portable,
}

impl Machine {
    /// The machine with these instructions; without those that it lacks.
    pub(super) fn with(instructions: Instructions) -> Self {
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

    /// Whether any of a row's bytes can be picked by an instruction.
    #[cfg_attr(not(target_arch = "x86_64"), expect(clippy::unused_self, reason = "no machine of ours does"))]
    pub(super) const fn picks_bytes(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self, Self::Avx512(_));
        #[cfg(not(target_arch = "x86_64"))]
        false
    }
}
