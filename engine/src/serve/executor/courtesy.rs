//! Letting others have the core between two batches.
//!
//! Who was just answered, and who came meanwhile, may wait for the very core that the executor of a CPU keeps busy. So it
//! steps back for a moment behind each batch. Beside somebody who computes all the time, such as a training, that moment is a
//! whole time slice: then it is seldom tried.

use std::time::{Duration, Instant};

/// Being away for longer than this, and than the batch took, is too long.
const TOO_LONG: Duration = Duration::from_millis(2);
/// Batches until it is tried again.
const PAUSE: u32 = 64;

/// Whether to step back behind the next batch.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    pause: u32,
}

impl Courtesy {
    /// Steps back behind a batch that took `computing`. What is lost belongs to the time between two batches, as reading and
    /// answering on this core do, and is planned with like these.
    pub(super) fn step_back(&mut self, computing: Duration) {
        if self.is_due() {
            let left = Instant::now();
            std::thread::yield_now();
            self.count(left.elapsed(), computing);
        }
    }

    fn is_due(&mut self) -> bool {
        let due = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        due
    }

    fn count(&mut self, away: Duration, computing: Duration) {
        if away > computing.max(TOO_LONG) {
            self.pause = PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_seldom_tried_beside_one_who_keeps_the_core() {
        let mut courtesy = Courtesy::default();
        let slice = Duration::from_millis(4);
        let tried = |courtesy: &mut Courtesy, away: Duration, computing: Duration| {
            let batch = |_: &u32| {
                let due = courtesy.is_due();
                if due {
                    courtesy.count(away, computing);
                }
                due
            };
            (0..650).filter(batch).count()
        };
        assert_eq!(tried(&mut courtesy, slice, Duration::from_millis(1)), 10);
        // A long batch is worth as long a moment.
        let mut courtesy = Courtesy::default();
        assert_eq!(tried(&mut courtesy, slice, Duration::from_millis(6)), 650);
        assert_eq!(tried(&mut courtesy, Duration::from_micros(300), Duration::from_micros(50)), 650);
    }
}
