//! New inputs from known ones. The same seed makes the same inputs.

use rand::{Rng, RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::{Target, Verdict};

/// Inputs are not longer than this, but for one that repeats a part of itself.
pub(crate) const LONGEST: usize = 4096;
/// Times that a part is repeated, to see that memory does not grow faster than inputs.
const MOST_REPEATS: usize = 2000;
/// Accepted inputs that are kept to be changed further.
const KEPT: usize = 512;

/// Makes inputs for a target.
#[derive(Debug)]
pub struct Mutator {
    random: ChaCha8Rng,
    words: &'static [&'static [u8]],
    corpus: Vec<Vec<u8>>,
    kept: Vec<Vec<u8>>,
}

impl Mutator {
    /// Starts from `corpus`.
    #[must_use]
    pub fn new(target: &Target, corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), words: target.words, corpus, kept: Vec::new() }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any().to_vec();
        for _ in 0..self.random.random_range(1..=6) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        if self.random.random_ratio(1, 200) {
            self.repeat(&mut input);
        }
        input
    }

    /// Learns what became of an input: what was accepted leads to more that is.
    pub fn learn(&mut self, input: Vec<u8>, verdict: Verdict) {
        if verdict == Verdict::Refused || input.len() > LONGEST {
            return;
        }
        if self.kept.len() < KEPT {
            self.kept.push(input);
        } else {
            let place = self.random.random_range(0..KEPT);
            self.kept[place] = input;
        }
    }

    fn any(&mut self) -> &[u8] {
        let pool = if self.random.random_bool(0.5) && !self.kept.is_empty() { &self.kept } else { &self.corpus };
        pool.choose(&mut self.random).map_or(&[], Vec::as_slice)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let part = self.part(input.len());
        match self.random.random_range(0..9) {
            0 => flip(input, &mut self.random),
            1 => {
                if let Some(byte) = input.get_mut(part.start) {
                    *byte = *[0, 1, 0x7f, 0x80, 0xff].choose(&mut self.random).unwrap_or(&0);
                }
            }
            2 => {
                input.drain(part);
            }
            3 => {
                let again = input[part.clone()].to_vec();
                input.splice(part.end..part.end, again);
            }
            4 | 5 => {
                let word = self.words.choose(&mut self.random).copied().unwrap_or_default();
                input.splice(part.start..part.start, word.iter().copied());
            }
            6 => {
                let word = self.words.choose(&mut self.random).copied().unwrap_or_default();
                input.splice(part, word.iter().copied());
            }
            7 => {
                let other = self.any().to_vec();
                let theirs = self.part(other.len());
                input.splice(part, other[theirs].iter().copied());
            }
            _ => {
                let bytes: Vec<u8> = (0..self.random.random_range(1..9)).map(|_| self.random.random()).collect();
                input.splice(part.start..part.start, bytes);
            }
        }
    }

    /// A part of `length` bytes, short ones more often.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.random.random_range(0..=length);
        let most = (length - start).min(1 << self.random.random_range(0..8));
        start..start + self.random.random_range(0..=most)
    }

    fn repeat(&mut self, input: &mut Vec<u8>) {
        let part = self.part(input.len());
        let again = input[part.clone()].repeat(self.random.random_range(1..=MOST_REPEATS));
        input.splice(part.end..part.end, again);
    }
}

fn flip(input: &mut [u8], random: &mut impl Rng) {
    if !input.is_empty() {
        let place = random.random_range(0..input.len());
        input[place] ^= 1 << random.random_range(0..8);
    }
}
