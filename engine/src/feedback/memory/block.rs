//! What is remembered of a prediction.

use std::sync::Arc;

use uuid::{Uuid, fmt::Hyphenated};

/// Rows of a block: as many as the bits of its word of labelled rows.
pub(super) const BLOCK_ROWS: usize = u64::BITS as usize;

/// A prediction id. Ours are UUIDs and take 16 bytes; anything else is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Id {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl Id {
    pub(super) fn new(id: &str) -> Self {
        uuid(id.as_bytes()).map_or_else(|| Self::Text(id.into()), Self::Uuid)
    }
}

/// The bytes of a UUID in the form in which it is written again: hyphenated, in lower case.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; Hyphenated::LENGTH] = text.try_into().ok()?;
    if HYPHENS.iter().any(|place| text[*place] != b'-') {
        return None;
    }
    let mut bytes = [0; 16];
    let mut wrong = 0;
    for (byte, place) in bytes.iter_mut().zip(PLACES) {
        let [high, low] = [text[place], text[place + 1]].map(|digit| DIGITS[usize::from(digit)]);
        wrong |= high | low;
        *byte = high << 4 | low;
    }
    (wrong < 16).then_some(bytes)
}

const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Where each byte's first digit stands.
const PLACES: [usize; 16] = {
    let (mut places, mut byte) = ([0; 16], 0);
    while byte < 16 {
        // A hyphen stands behind the bytes 3, 5, 7 and 9.
        let hyphens = if byte < 4 {
            0
        } else if byte < 10 {
            byte / 2 - 1
        } else {
            4
        };
        places[byte] = 2 * byte + hyphens;
        byte += 1;
    }
    places
};

/// The value of each digit; 255 for what is none.
const DIGITS: [u8; 256] = {
    let (mut digits, mut value) = ([u8::MAX; 256], 0);
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uuid(bytes) => write!(f, "{}", Uuid::from_bytes(*bytes)),
            Self::Text(text) => write!(f, "{text}"),
        }
    }
}

/// Up to [`BLOCK_ROWS`] rows of a prediction. Most predictions are one row without entities, and take 24 bytes here.
#[derive(Debug)]
pub(super) enum Block {
    /// The only row of its prediction, of one score and no entity.
    One {
        id: [u8; 16],
        tally: u16,
        labelled: bool,
        score: f32,
    },
    Many(Box<Many>),
}

#[derive(Debug)]
pub(super) struct Many {
    pub(super) id: Id,
    /// Place of its version's tally among the shard's.
    pub(super) tally: u32,
    /// Number of the block in its prediction, and rows of that.
    pub(super) number: u32,
    pub(super) prediction_rows: u32,
    pub(super) rows: u8,
    /// Rows forgotten, from the first.
    pub(super) forgotten: u8,
    /// Bit i is set once row i was scored.
    pub(super) labelled: u64,
    /// Row-major, as many a row as are kept.
    pub(super) scores: Box<[f32]>,
    /// One a row; none when no entity was named.
    pub(super) entities: Option<Box<[Arc<str>]>>,
}

impl Block {
    /// The only row of a prediction.
    pub(super) fn one(id: Id, score: f32) -> Self {
        match id {
            Id::Uuid(id) => Self::One { id, tally: 0, labelled: false, score },
            Id::Text(_) => Self::only(id, 0, score, false),
        }
    }

    /// What fills a ring that was never written to.
    pub(super) const fn vacant() -> Self {
        Self::One { id: [0; 16], tally: 0, labelled: false, score: 0.0 }
    }

    fn only(id: Id, tally: u32, score: f32, labelled: bool) -> Self {
        let (scores, labelled) = (Box::from([score]), u64::from(labelled));
        let many =
            Many { id, tally, number: 0, prediction_rows: 1, rows: 1, forgotten: 0, labelled, scores, entities: None };
        Self::Many(Box::new(many))
    }

    /// The id of its prediction, and its number in that.
    pub(super) fn name(&self) -> (Id, u32) {
        match self {
            Self::One { id, tally: _, labelled: _, score: _ } => (Id::Uuid(*id), 0),
            Self::Many(many) => (many.id.clone(), many.number),
        }
    }

    pub(super) fn is(&self, id: &Id, number: u32) -> bool {
        match (self, id) {
            (Self::One { id, tally: _, labelled: _, score: _ }, Id::Uuid(other)) => id == other && number == 0,
            (Self::One { id: _, tally: _, labelled: _, score: _ }, Id::Text(_)) => false,
            (Self::Many(many), id) => many.id == *id && many.number == number,
        }
    }

    pub(super) fn tally(&self) -> u32 {
        match self {
            Self::One { id: _, tally, labelled: _, score: _ } => u32::from(*tally),
            Self::Many(many) => many.tally,
        }
    }

    pub(super) fn set_tally(&mut self, place: u32) {
        match (&mut *self, u16::try_from(place)) {
            (Self::Many(many), _) => many.tally = place,
            (Self::One { id: _, tally, labelled: _, score: _ }, Ok(place)) => *tally = place,
            // More versions than anybody has; they are remembered all the same.
            (Self::One { id, tally: _, labelled, score }, Err(_)) => {
                *self = Self::only(Id::Uuid(*id), place, *score, *labelled);
            }
        }
    }

    /// Rows of its prediction.
    pub(super) fn prediction_rows(&self) -> u32 {
        self.as_many().map_or(1, |many| many.prediction_rows)
    }

    /// Rows, forgotten ones too.
    pub(super) fn rows(&self) -> usize {
        self.as_many().map_or(1, |many| usize::from(many.rows))
    }

    /// Rows forgotten, from the first. A block that has forgotten all is gone.
    pub(super) fn forgotten(&self) -> usize {
        self.as_many().map_or(0, |many| usize::from(many.forgotten))
    }

    /// Forgets the next `count` rows of several; gives their entities.
    pub(super) fn forget(&mut self, count: usize) -> Vec<Arc<str>> {
        let Self::Many(many) = self else { return Vec::new() };
        let from = usize::from(many.forgotten);
        many.forgotten += count as u8;
        many.entities.as_ref().map(|entities| entities[from..from + count].to_vec()).unwrap_or_default()
    }

    pub(super) fn holds(&self, row: usize) -> bool {
        (self.forgotten()..self.rows()).contains(&row)
    }

    pub(super) fn scores(&self, row: usize) -> Vec<f32> {
        match self {
            Self::One { id: _, tally: _, labelled: _, score } => vec![*score],
            Self::Many(many) => {
                let width = many.scores.len() / usize::from(many.rows).max(1);
                many.scores.chunks_exact(width.max(1)).nth(row).unwrap_or_default().to_vec()
            }
        }
    }

    /// Marks a row as scored: false when it was before.
    pub(super) fn label(&mut self, row: usize) -> bool {
        match self {
            Self::One { id: _, tally: _, labelled, score: _ } => !std::mem::replace(labelled, true),
            Self::Many(many) => {
                let bit = 1 << row;
                let first = many.labelled & bit == 0;
                many.labelled |= bit;
                first
            }
        }
    }

    fn as_many(&self) -> Option<&Many> {
        match self {
            Self::One { id: _, tally: _, labelled: _, score: _ } => None,
            Self::Many(many) => Some(many),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_the_ids_that_it_writes_again(bytes in any::<[u8; 16]>(), place in 0..Hyphenated::LENGTH, other in any::<u8>()) {
            let text = Uuid::from_bytes(bytes).to_string();
            prop_assert_eq!(uuid(text.as_bytes()), Some(bytes));
            let mut changed = text.clone().into_bytes();
            changed[place] = other;
            let expected = Uuid::try_parse_ascii(&changed).ok().filter(|uuid| uuid.to_string().as_bytes() == changed);
            prop_assert_eq!(uuid(&changed), expected.map(Uuid::into_bytes));
        }
    }

    #[test]
    fn a_row_is_small_and_any_number_of_versions_fits() {
        assert_eq!(size_of::<Block>(), 24);
        let mut block = Block::one(Id::Uuid([7; 16]), 1.5);
        assert!(block.label(0));
        block.set_tally(70_000);
        assert_eq!((block.tally(), block.scores(0), block.name()), (70_000, vec![1.5], (Id::Uuid([7; 16]), 0)));
        assert!(!block.label(0) && block.is(&Id::Uuid([7; 16]), 0) && !block.is(&Id::Text("x".into()), 0));
    }
}
