//! What was done, and what went wrong.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use serde::Serialize;

use crate::{plan::Act, verdict::End};

/// As many tell enough.
const ENOUGH: usize = 10;

/// Something that must not be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Violation {
    pub(crate) what: String,
    /// What was being done.
    pub(crate) event: String,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<String, u64>>,
    violations: Mutex<Vec<Violation>>,
    full: AtomicBool,
}

impl Tally {
    pub(crate) fn count(&self, act: &Act, end: &End) {
        let end = match end {
            End::Answered(_) => "answered".to_owned(),
            End::Refused(status, _sentence) => format!("status {status}"),
            End::Closed(_) => "closed".to_owned(),
            End::Left => "left".to_owned(),
        };
        let mut counts = self.counts.lock();
        *counts.entry(format!("{:?}", act.transport).to_lowercase()).or_default() += 1;
        *counts.entry(end).or_default() += 1;
    }

    pub(crate) fn violated(&self, violation: Violation) {
        crate::say(&format!("VIOLATION: {}\n  {}", violation.what, violation.event));
        let mut violations = self.violations.lock();
        violations.push(violation);
        if violations.len() >= ENOUGH {
            self.full.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it is time to stop.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().clone()
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.violations.lock().clone()
    }
}
