//! Equal requests under way: the first computes, the others wait for it without holding a thread.
//!
//! The table of flights is striped and its locks are only tried, so a request that finds one taken computes by itself. A lock
//! is held for one operation of a map. Waiting is tokio's [`OnceCell`]: who waits gives up by being dropped, and when the one
//! that computes gives up, the next that waits computes.
//!
//! Nobody waits for a flight whose work stands behind where its own would stand in the queue. Who is more urgent than the request
//! that computes begins a flight of its own, which takes the place of the slower one in the table; the slower one goes on, is given
//! the answer if that comes sooner, and has its place back should the faster one come to nothing. As a flight may pass to a request
//! that is less urgent than the first, those that wait look again each time.
//!
//! The table holds weak references under the hash alone, so what a lost race leaves behind is a few words, and goes when its
//! stripe fills up.

use std::{
    collections::{HashMap, hash_map::Entry},
    pin::pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use contract::{InputError, RunError};
use crossbeam::utils::CachePadded;
use futures::future::{Either, select};
use parking_lot::{Mutex, MutexGuard};
use quick_cache::DefaultHashBuilder;
use tokio::sync::{Notify, OnceCell};

use super::{
    held::Held,
    question::{Key, Urgency},
    tried,
};
use crate::Error;

/// More than there are threads by far, so that two seldom want the same.
const STRIPES: usize = 64;
/// Bits of a rank that hold the deadline: 18 years in nanoseconds.
const DEADLINE_BITS: u32 = 59;
/// Deadlines that are no further apart count as one, or of equal requests that come at once each would compute that was
/// preempted on its way here.
const SAME_DEADLINE: u64 = 1_000_000;
/// The rank of who waits for anybody.
const PATIENT: u64 = u64::MAX;

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

/// What a part in a flight came to.
pub(super) enum Came<'a> {
    /// What the flight itself came to.
    Outcome(Result<&'a Held, &'a Refusal>),
    /// The answer of a more urgent flight.
    Brought(&'a Held),
    /// Nothing yet, and the request that computes now is less urgent than this one.
    Slower,
}

/// A question that is being answered.
#[derive(Debug)]
struct Flight {
    key: Key,
    /// That of the request that computes, or did last.
    rank: AtomicU64,
    outcome: OnceCell<Outcome>,
    /// The answer of a more urgent flight, if it was there first.
    brought: OnceLock<Held>,
    /// Tells those that wait that the rank rose or an answer was brought.
    changed: Notify,
    /// The flight whose place this one took.
    slower: Weak<Self>,
}

impl Flight {
    fn is_over(&self) -> bool {
        self.outcome.initialized() || self.brought.get().is_some()
    }

    /// Whether a request of this rank would be computed sooner by itself.
    fn is_behind(&self, rank: u64) -> bool {
        rank.saturating_add(SAME_DEADLINE) < self.rank.load(Ordering::Acquire)
    }
}

type Stripe = HashMap<u64, Weak<Flight>, DefaultHashBuilder>;

pub(super) struct Flights {
    stripes: Box<[CachePadded<Mutex<Stripe>>]>,
    /// Where ranks count deadlines from.
    epoch: Instant,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| CachePadded::default()).collect(), epoch: Instant::now() }
    }

    /// Joins the flight that answers `key`, or begins one if there is none that is as urgent; none when that could not be found
    /// out without waiting.
    pub(super) fn join(&self, key: &Key, urgency: Urgency) -> Option<Seat<'_>> {
        let rank = self.rank(urgency);
        let mut stripe = self.try_stripe(key.hash)?;
        if stripe.len() == stripe.capacity() {
            stripe.retain(|_hash, flight| flight.strong_count() > 0);
        }
        let begin = |slower| {
            Arc::new(Flight {
                key: key.clone(),
                rank: AtomicU64::new(rank),
                outcome: OnceCell::new(),
                brought: OnceLock::new(),
                changed: Notify::new(),
                slower,
            })
        };
        let mut overtakes = false;
        let flight = match stripe.entry(key.hash) {
            Entry::Occupied(mut entry) => match entry.get().upgrade() {
                Some(flight) if flight.is_over() => replaced(entry.get_mut(), begin(Weak::new())),
                // Another question of the same hash.
                Some(flight) if flight.key != *key => return None,
                Some(flight) if flight.is_behind(rank) => {
                    overtakes = true;
                    replaced(entry.get_mut(), begin(Arc::downgrade(&flight)))
                }
                Some(flight) => flight,
                None => replaced(entry.get_mut(), begin(Weak::new())),
            },
            Entry::Vacant(entry) => {
                let flight = begin(Weak::new());
                entry.insert(Arc::downgrade(&flight));
                flight
            }
        };
        drop(stripe);
        Some(Seat { flights: self, flight, rank, overtakes })
    }

    /// An urgency as one number; the least is the most urgent.
    fn rank(&self, urgency: Urgency) -> u64 {
        let Urgency { level, deadline } = urgency;
        let left = u64::try_from(deadline.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX);
        (u64::from(level) << DEADLINE_BITS) | left.min((1 << DEADLINE_BITS) - 1)
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
    rank: u64,
    overtakes: bool,
}

impl<'a> Seat<'a> {
    /// What the flight came to. `compute` is run when nobody else does, or did to an end that equal requests share; it is
    /// dropped where it stands when an answer is brought.
    ///
    /// # Errors
    /// What `compute` gives that is this request's own.
    pub(super) async fn outcome(
        &self,
        compute: impl Future<Output = Result<Outcome, Error>>,
    ) -> Result<Came<'_>, Error> {
        let mut outcome = pin!(self.flight.outcome.get_or_try_init(|| compute));
        loop {
            let mut changed = pin!(self.flight.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(held) = self.flight.brought.get() {
                return Ok(Came::Brought(held));
            }
            if self.flight.is_behind(self.rank) {
                return Ok(Came::Slower);
            }
            // In this order, so that nobody begins to compute what is there.
            match select(changed, outcome.as_mut()).await {
                Either::Left(((), _outcome)) => {}
                Either::Right((outcome, _changed)) => return Ok(Came::Outcome(outcome?.as_ref())),
            }
        }
    }

    /// Tells the others that this request computes now, so that who is more urgent need not wait for it.
    pub(super) fn lead(&self) {
        if self.flight.rank.swap(self.rank, Ordering::AcqRel) < self.rank {
            self.flight.changed.notify_waiters();
        }
    }

    /// Gives the answer to the flights that this one overtook.
    pub(super) fn bring(&self, held: &Held) {
        let mut slower = self.flight.slower.upgrade();
        while let Some(flight) = slower {
            if flight.brought.set(held.clone()).is_ok() {
                flight.changed.notify_waiters();
            }
            slower = flight.slower.upgrade();
        }
    }

    /// Whether this one began a flight because the one under way is less urgent.
    pub(super) const fn overtakes(&self) -> bool {
        self.overtakes
    }

    /// A part in the flight that this one overtook, for one that waits however urgent it is.
    pub(super) fn overtaken(&self) -> Option<Seat<'a>> {
        let flight = self.flight.slower.upgrade()?;
        Some(Seat { flights: self.flights, flight, rank: PATIENT, overtakes: false })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let flight = &self.flight;
        let is_left = || flight.is_over() || Arc::strong_count(flight) == 1;
        if !is_left() {
            return;
        }
        let Some(mut stripe) = self.flights.try_stripe(flight.key.hash) else { return };
        // Joining takes the lock, so nobody joins now.
        if is_left()
            && let Entry::Occupied(mut entry) = stripe.entry(flight.key.hash)
            && std::ptr::eq(entry.get().as_ptr(), Arc::as_ptr(flight))
        {
            match flight.slower.upgrade() {
                Some(slower) if !flight.is_over() && !slower.is_over() => *entry.get_mut() = Arc::downgrade(&slower),
                Some(_) | None => {
                    entry.remove();
                }
            }
        }
    }
}
