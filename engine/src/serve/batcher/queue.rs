//! The requests of one lane, shape class and row width, in the order in which they go.
//!
//! Level by level, and within a level the earliest deadline first, then the order of arrival. A heap for each level keeps
//! that: a push or pop is logarithmic in what waits, and, the earliest deadline being at the head, what expired is always at
//! the head of its level, so that nothing is ever searched for.

use std::{cmp::Ordering, collections::BinaryHeap, time::Instant};

use super::pending::Slot;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    deadline: Instant,
    order: u64,
    slot: Slot,
}

impl Ord for Entry {
    /// The greatest goes first: the earliest deadline, then the earliest arrival.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.deadline, other.order).cmp(&(self.deadline, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The requests of one lane, shape class and row width.
#[derive(Debug, Default)]
pub(super) struct Queue {
    levels: Vec<BinaryHeap<Entry>>,
    /// Rows not yet in a batch, those of requests that are over included until they come to the front.
    pub(super) rows: usize,
}

impl Queue {
    /// Adds a request; `order` rises with each.
    pub(super) fn push(&mut self, level: usize, deadline: Instant, order: u64, slot: Slot) {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, BinaryHeap::new);
        }
        self.levels[level].push(Entry { deadline, order, slot });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.levels.iter().all(BinaryHeap::is_empty)
    }

    /// Levels that may hold something.
    pub(super) fn levels(&self) -> usize {
        self.levels.len()
    }

    /// The first request of a level.
    pub(super) fn head(&self, level: usize) -> Option<Slot> {
        self.levels.get(level)?.peek().map(|entry| entry.slot)
    }

    /// The first requests of all levels, the most urgent level's first.
    pub(super) fn heads(&self) -> impl Iterator<Item = Slot> {
        self.levels.iter().filter_map(|level| level.peek().map(|entry| entry.slot))
    }

    pub(super) fn pop(&mut self, level: usize) {
        if let Some(level) = self.levels.get_mut(level) {
            level.pop();
        }
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Slot> {
        self.rows = 0;
        self.levels.iter_mut().flat_map(|level| level.drain().map(|entry| entry.slot))
    }
}
