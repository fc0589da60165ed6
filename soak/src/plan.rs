//! What each client does, from the seed alone: the same seed gives the same sequence of decisions to each client, whatever
//! the server answers and however threads run.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Numbers that rows hold: from 0 up to this.
pub(crate) const NUMBERS: u16 = 1 << 12;
/// Most rows of a request.
const MOST_ROWS: usize = 20;

/// The models, by what happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Model {
    /// One version, never touched: it always answers.
    Steady,
    /// Versions come and go and aliases move, but there always is one that answers.
    Moving,
    /// As moving, and taken out of service and back.
    Coming,
    /// Fails and panics on demand.
    Faulty,
    /// Takes its time.
    Slow,
}

impl Model {
    pub(crate) const ALL: [Self; 5] = [Self::Steady, Self::Moving, Self::Coming, Self::Faulty, Self::Slow];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Moving => "moving",
            Self::Coming => "coming",
            Self::Faulty => "faulty",
            Self::Slow => "slow",
        }
    }
}

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Json,
    Binary,
    Grpc,
}

/// Which version is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Default,
    Alias(&'static str),
    /// So many behind the newest.
    Number(u32),
}

/// How a client behaves. What comes in pieces or is broken off goes over HTTP, but leaving is for gRPC, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Asks and reads the answer, on a connection that stays.
    Plain,
    /// Asks twice before it reads.
    Pipelined,
    /// Sends its body byte by byte.
    Bytewise,
    /// Sends half of its body and no more, and waits.
    Stalls,
    /// Sends half of its body and goes.
    LeavesInside,
    /// Sends its request and goes after a while, without reading.
    LeavesUnread(Duration),
    /// As that, with a reset.
    Resets(Duration),
    /// Closes its half of the connection behind its request, and reads.
    HalfCloses,
    /// Sends what is no request.
    Garbage,
}

/// What the faulty model is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    PanicsEncoding,
    PanicsAtOnce,
    PanicsLate,
    Fails,
}

impl Fault {
    /// The second feature of a row that asks for it.
    pub(crate) const fn marker(self) -> f32 {
        match self {
            Self::None => 0.0,
            Self::PanicsEncoding => -1.0,
            Self::PanicsAtOnce => -2.0,
            Self::PanicsLate => -3.0,
            Self::Fails => -4.0,
        }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Act {
    pub(crate) transport: Transport,
    pub(crate) model: Model,
    pub(crate) wanted: Wanted,
    /// The first feature of each row.
    pub(crate) rows: Vec<u16>,
    pub(crate) fault: Fault,
    pub(crate) timeout: Option<Duration>,
    /// 0 for none.
    pub(crate) priority: u32,
    /// Whether it goes past the cache.
    pub(crate) no_cache: bool,
    pub(crate) manner: Manner,
    /// Before the request.
    pub(crate) pause: Duration,
}

/// The decisions of one client.
pub(crate) struct Plan {
    random: ChaCha8Rng,
}

impl Plan {
    pub(crate) fn new(seed: u64, client: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(client);
        Self { random }
    }

    pub(crate) fn next(&mut self) -> Act {
        let transport = self.one_of(&[Transport::Json, Transport::Binary, Transport::Grpc]);
        let model = match self.random.random_range(0..20) {
            0..6 => Model::Steady,
            6..12 => Model::Moving,
            12..16 => Model::Coming,
            16..18 => Model::Faulty,
            _ => Model::Slow,
        };
        let wanted = match self.random.random_range(0..10) {
            0..5 => Wanted::Default,
            5..7 => Wanted::Alias("champion"),
            7 => Wanted::Alias("stable"),
            _ => Wanted::Number(self.random.random_range(0..3)),
        };
        // The protocol's paths over HTTP have no place for an alias.
        let wanted = match (transport, wanted) {
            (Transport::Json | Transport::Binary, Wanted::Alias(_)) => Wanted::Default,
            (_, wanted) => wanted,
        };
        let rows = if self.random.random_bool(0.7) { 1 } else { self.random.random_range(1..=MOST_ROWS) };
        // Few numbers, now and then, so that the cache and equal requests in flight have work.
        let numbers = if self.random.random_bool(0.3) { 8 } else { NUMBERS };
        let rows = (0..rows).map(|_| self.random.random_range(0..numbers)).collect();
        let faults = [Fault::PanicsEncoding, Fault::PanicsAtOnce, Fault::PanicsLate, Fault::Fails];
        let faulty = self.random.random_bool(0.5);
        let fault = self.one_of(&faults);
        let fault = if model == Model::Faulty && faulty { fault } else { Fault::None };
        let timeout = Duration::from_micros(self.random.random_range(200..50_000));
        let timeout = self.random.random_bool(0.25).then_some(timeout);
        let priority = self.random.random_range(0..4);
        let no_cache = self.random.random_bool(0.1);
        let manner = self.manner(transport);
        let pause = Duration::from_micros(self.random.random_range(0..4_000));
        Act { transport, model, wanted, rows, fault, timeout, priority, no_cache, manner, pause }
    }

    fn manner(&mut self, transport: Transport) -> Manner {
        let chance = self.random.random_range(0..100);
        let pause = Duration::from_micros(self.random.random_range(0..5_000));
        match (transport, chance) {
            (_, 0..70) => Manner::Plain,
            (_, 70..80) | (Transport::Grpc, _) => Manner::LeavesUnread(pause),
            (_, 80..85) => Manner::Pipelined,
            (_, 85..88) => Manner::Bytewise,
            (_, 88..91) => Manner::LeavesInside,
            (_, 91..94) => Manner::Resets(pause),
            (_, 94..97) => Manner::HalfCloses,
            (_, 97..99) => Manner::Garbage,
            _ => Manner::Stalls,
        }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.random_range(0..choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(seed: u64, client: u64) -> Vec<Act> {
        let mut plan = Plan::new(seed, client);
        (0..2_000).map(|_| plan.next()).collect()
    }

    #[test]
    fn decisions_are_those_of_the_seed_and_the_client() {
        assert_eq!(acts(1, 2), acts(1, 2));
        assert_ne!(acts(1, 2), acts(1, 3));
        assert_ne!(acts(1, 2), acts(2, 2));
    }

    #[test]
    fn everything_is_done() {
        let acts = acts(0, 0);
        let has = |what: &dyn Fn(&Act) -> bool| acts.iter().any(what);
        assert!(Model::ALL.iter().all(|model| has(&|act| act.model == *model)));
        for manner in [Manner::Pipelined, Manner::Bytewise, Manner::Stalls, Manner::HalfCloses, Manner::Garbage] {
            assert!(has(&|act| act.manner == manner), "{manner:?}");
        }
        assert!(has(&|act| act.transport == Transport::Grpc && matches!(act.manner, Manner::LeavesUnread(_))));
        for fault in [Fault::PanicsEncoding, Fault::PanicsAtOnce, Fault::PanicsLate, Fault::Fails] {
            assert!(has(&|act| act.fault == fault), "{fault:?}");
        }
        assert!(acts.iter().all(|act| act.model == Model::Faulty || act.fault == Fault::None));
    }
}
