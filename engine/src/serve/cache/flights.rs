//! Equal requests under way: the first computes, the others wait for it without holding a thread.
//!
//! The table of flights is striped and its locks are only tried, so a request that finds one taken computes by itself. A lock
//! is held for one operation of a map. Waiting is tokio's [`OnceCell`]: who waits gives up by being dropped, and when the one
//! that computes gives up, the next that waits computes.
//!
//! The table holds weak references under the hash alone, so what a lost race leaves behind is a few words, and goes when its
//! stripe fills up.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Weak},
};

use contract::{InputError, RunError};
use crossbeam::utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};
use quick_cache::DefaultHashBuilder;
use tokio::sync::OnceCell;

use super::{held::Held, question::Key, tried};
use crate::Error;

/// More than there are threads by far, so that two seldom want the same.
const STRIPES: usize = 64;

/// A failure that equal requests share, because it would be theirs too.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    Input(InputError),
    Run(RunError),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Input(error) => Self::Input(error),
            Refusal::Run(error) => Self::Run(error),
        }
    }
}

/// What a flight came to.
pub(super) type Outcome = Result<Held, Refusal>;

/// A question that is being answered.
#[derive(Debug)]
struct Flight {
    key: Key,
    outcome: OnceCell<Outcome>,
}

type Stripe = HashMap<u64, Weak<Flight>, DefaultHashBuilder>;

pub(super) struct Flights {
    stripes: Box<[CachePadded<Mutex<Stripe>>]>,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| CachePadded::default()).collect() }
    }

    /// Joins the flight that answers `key`, or begins one; none when that could not be found out without waiting.
    pub(super) fn join(&self, key: &Key) -> Option<Seat<'_>> {
        let mut stripe = self.try_stripe(key.hash)?;
        if stripe.len() == stripe.capacity() {
            stripe.retain(|_hash, flight| flight.strong_count() > 0);
        }
        let begin = || Arc::new(Flight { key: key.clone(), outcome: OnceCell::new() });
        let flight = match stripe.entry(key.hash) {
            Entry::Occupied(mut entry) => match entry.get().upgrade() {
                Some(flight) if flight.outcome.initialized() => replaced(entry.get_mut(), begin()),
                Some(flight) if flight.key == *key => flight,
                // Another question of the same hash.
                Some(_) => return None,
                None => replaced(entry.get_mut(), begin()),
            },
            Entry::Vacant(entry) => {
                let flight = begin();
                entry.insert(Arc::downgrade(&flight));
                flight
            }
        };
        drop(stripe);
        Some(Seat { flights: self, flight })
    }

    fn try_stripe(&self, hash: u64) -> Option<MutexGuard<'_, Stripe>> {
        // The map below looks at the low bits of a hash of this one.
        let index = usize::try_from(hash >> 32).unwrap_or_default() % STRIPES;
        let stripe = self.stripes.get(index)?;
        tried(|| stripe.try_lock())
    }

    /// Flights listed, those that ended and were left behind included.
    #[cfg(test)]
    pub(super) fn listed(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.lock().len()).sum()
    }

    /// Holds the lock of a key's stripe.
    #[cfg(test)]
    pub(super) fn hold(&self, key: &Key) -> impl Drop + '_ {
        self.try_stripe(key.hash).expect("the stripe is held already")
    }
}

fn replaced(slot: &mut Weak<Flight>, flight: Arc<Flight>) -> Arc<Flight> {
    *slot = Arc::downgrade(&flight);
    flight
}

/// A part in a flight. The last to leave takes the flight off the table, and so does the first to leave one that ended.
pub(super) struct Seat<'a> {
    flights: &'a Flights,
    flight: Arc<Flight>,
}

impl Seat<'_> {
    /// What the flight came to. `compute` is run when nobody else does, or did to an end that equal requests share.
    ///
    /// # Errors
    /// What `compute` gives that is this request's own.
    pub(super) async fn outcome(
        &self,
        compute: impl Future<Output = Result<Outcome, Error>>,
    ) -> Result<&Outcome, Error> {
        self.flight.outcome.get_or_try_init(|| compute).await
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let is_over = || self.flight.outcome.initialized() || Arc::strong_count(&self.flight) == 1;
        if !is_over() {
            return;
        }
        let Some(mut stripe) = self.flights.try_stripe(self.flight.key.hash) else { return };
        // Joining takes the lock, so nobody joins now.
        if is_over()
            && let Entry::Occupied(entry) = stripe.entry(self.flight.key.hash)
            && std::ptr::eq(entry.get().as_ptr(), Arc::as_ptr(&self.flight))
        {
            entry.remove();
        }
    }
}
