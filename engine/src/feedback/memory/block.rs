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
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (mut bytes, mut place) = ([0; 16], 0);
    for byte in &mut bytes {
        if matches!(place, 8 | 13 | 18 | 23) {
            if text[place] != b'-' {
                return None;
            }
            place += 1;
        }
        *byte = digit(text[place])? << 4 | digit(text[place + 1])?;
        place += 2;
    }
    Some(bytes)
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uuid(bytes) => write!(f, "{}", Uuid::from_bytes(*bytes)),
            Self::Text(text) => write!(f, "{text}"),
        }
    }
}

/// Up to [`BLOCK_ROWS`] rows of a prediction. Most predictions are one row without entities, and take 48 bytes here.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) id: Id,
    /// Place of its version's tally among the shard's.
    pub(super) tally: u32,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    /// The only row of its prediction, of one score and no entity.
    One {
        score: f32,
        labelled: bool,
    },
    Many(Box<Many>),
}

#[derive(Debug)]
pub(super) struct Many {
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
    pub(super) const fn one(id: Id, score: f32) -> Self {
        Self { id, tally: 0, rows: Rows::One { score, labelled: false } }
    }

    pub(super) fn many(id: Id, many: Many) -> Self {
        Self { id, tally: 0, rows: Rows::Many(Box::new(many)) }
    }

    /// Number of the block in its prediction.
    pub(super) fn number(&self) -> u32 {
        self.as_many().map_or(0, |many| many.number)
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
        let Rows::Many(many) = &mut self.rows else { return Vec::new() };
        let from = usize::from(many.forgotten);
        many.forgotten += count as u8;
        many.entities.as_ref().map(|entities| entities[from..from + count].to_vec()).unwrap_or_default()
    }

    pub(super) fn holds(&self, row: usize) -> bool {
        (self.forgotten()..self.rows()).contains(&row)
    }

    pub(super) fn scores(&self, row: usize) -> Vec<f32> {
        match &self.rows {
            Rows::One { score, labelled: _ } => vec![*score],
            Rows::Many(many) => {
                let width = many.scores.len() / usize::from(many.rows).max(1);
                many.scores.chunks_exact(width.max(1)).nth(row).unwrap_or_default().to_vec()
            }
        }
    }

    /// Marks a row as scored: false when it was before.
    pub(super) fn label(&mut self, row: usize) -> bool {
        match &mut self.rows {
            Rows::One { score: _, labelled } => !std::mem::replace(labelled, true),
            Rows::Many(many) => {
                let bit = 1 << row;
                let first = many.labelled & bit == 0;
                many.labelled |= bit;
                first
            }
        }
    }

    /// Whether it holds no memory of its own.
    pub(super) const fn is_plain(&self) -> bool {
        matches!((&self.id, &self.rows), (Id::Uuid(_), Rows::One { score: _, labelled: _ }))
    }

    fn as_many(&self) -> Option<&Many> {
        match &self.rows {
            Rows::One { score: _, labelled: _ } => None,
            Rows::Many(many) => Some(many),
        }
    }
}
