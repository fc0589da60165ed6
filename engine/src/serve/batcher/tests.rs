//! The batcher against a plain account of what was pushed, under any order of events.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use proptest::prelude::*;

use super::{
    super::settings::{ModelServing, ServingSettings},
    *,
};

const LANES: [(LaneId, &[usize]); 3] = [(0, &[1, 4]), (1, &[8]), (2, &[2, 3, 7])];
/// What the pretended device adds to each row.
const SHIFT: u64 = 1 << 32;

fn shape(lane: LaneId) -> LaneShape {
    LaneShape::new(LANES[usize::try_from(lane).unwrap()].1, 1000).unwrap()
}

fn settings(max_queue_delay: Duration) -> LaneSettings {
    let process = ServingSettings { max_queue_delay, ..ServingSettings::default() };
    LaneSettings::new(&process, &ModelServing::default())
}

fn block(rows: impl IntoIterator<Item = u64>) -> RowBlock {
    let mut block = RowBlock::new(8);
    rows.into_iter().for_each(|row| block.data_mut().push(row));
    block
}

fn ids(block: &RowBlock) -> Vec<u64> {
    block.data().as_slice::<u64>().to_vec()
}

/// What a request's sender sees.
#[derive(Default)]
struct Mailbox {
    answers: RefCell<Vec<Result<Vec<u64>, Failure>>>,
    cancelled: Cell<bool>,
    /// Rows that count as queued.
    queued: Cell<usize>,
}

struct Sender {
    mailbox: Rc<Mailbox>,
}

impl Reply for Sender {
    fn is_cancelled(&self) -> bool {
        self.mailbox.cancelled.get()
    }

    fn left_queue(&mut self, rows: usize) {
        self.mailbox.queued.set(self.mailbox.queued.get() - rows);
    }

    fn answer(self, result: Result<Computed, Failure>) {
        self.mailbox.answers.borrow_mut().push(result.map(|computed| ids(&computed.rows)));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.mailbox.queued.set(0);
    }
}

#[derive(Clone, Debug)]
enum Event {
    Push { lane: LaneId, class: usize, rows: usize, patience: u64 },
    Cancel(prop::sample::Index),
    Wait(u64),
    Form,
    Finish(Ending),
    RemoveLane(LaneId),
    AddLane(LaneId),
    FailAll,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Good,
    Fails,
    /// The device gives one row too few.
    Short,
}

fn event() -> impl Strategy<Value = Event> {
    let ending = prop_oneof![4 => Just(Ending::Good), 1 => Just(Ending::Fails), 1 => Just(Ending::Short)];
    prop_oneof![
        8 => (0..3_u64, 0..2_usize, 1..20_usize, 1..60_u64)
            .prop_map(|(lane, class, rows, patience)| Event::Push { lane, class, rows, patience }),
        2 => any::<prop::sample::Index>().prop_map(Event::Cancel),
        3 => (0..12_u64).prop_map(Event::Wait),
        8 => Just(Event::Form),
        6 => ending.prop_map(Event::Finish),
        1 => (0..3_u64).prop_map(Event::RemoveLane),
        1 => (0..3_u64).prop_map(Event::AddLane),
        1 => Just(Event::FailAll),
    ]
}

/// One pushed request and what happened to it.
struct Account {
    lane: LaneId,
    class: usize,
    rows: Vec<u64>,
    deadline: Instant,
    mailbox: Rc<Mailbox>,
    refused: bool,
    lost_batch: bool,
    shut_down: bool,
}

struct Harness {
    batcher: Batcher<Sender>,
    delay: Duration,
    now: Instant,
    accounts: Vec<Account>,
    present: [bool; 3],
    in_flight: VecDeque<(Batch, Vec<u64>)>,
    next_row: u64,
    /// The highest row that went to the device, by lane and class.
    highest: HashMap<(LaneId, usize), u64>,
}

impl Harness {
    fn new(delay: u64) -> Self {
        let mut batcher = Batcher::default();
        for (lane, _buckets) in LANES {
            batcher.add_lane(lane, shape(lane), settings(Duration::from_millis(delay)));
        }
        Self {
            batcher,
            delay: Duration::from_millis(delay),
            now: Instant::now(),
            accounts: Vec::new(),
            present: [true; 3],
            in_flight: VecDeque::new(),
            next_row: 0,
            highest: HashMap::new(),
        }
    }

    fn owner(&self, row: u64) -> &Account {
        self.accounts.iter().find(|account| account.rows.contains(&row)).unwrap()
    }

    fn play(&mut self, event: &Event) {
        match *event {
            Event::Push { lane, class, rows, patience } => self.push(lane, class, rows, patience),
            Event::Cancel(ref index) => {
                if !self.accounts.is_empty() {
                    index.get(&self.accounts).mailbox.cancelled.set(true);
                }
            }
            Event::Wait(millis) => self.now += Duration::from_millis(millis),
            Event::Form => self.form(),
            Event::Finish(ending) => self.finish(ending),
            Event::RemoveLane(lane) => {
                // As the executor does: what is on the device is collected first.
                while self.in_flight.iter().any(|(batch, _rows)| batch.lane == lane) {
                    self.finish(Ending::Good);
                }
                self.present[usize::try_from(lane).unwrap()] = false;
                for account in self.accounts.iter_mut().filter(|account| account.lane == lane) {
                    account.refused |= account.mailbox.answers.borrow().is_empty();
                }
                self.batcher.remove_lane(lane);
            }
            Event::AddLane(lane) => {
                if !std::mem::replace(&mut self.present[usize::try_from(lane).unwrap()], true) {
                    self.batcher.add_lane(lane, shape(lane), settings(self.delay));
                }
            }
            Event::FailAll => {
                for account in &mut self.accounts {
                    account.shut_down |= account.mailbox.answers.borrow().is_empty();
                }
                self.batcher.fail_waiting(None, &Failure::ShuttingDown);
            }
        }
    }

    fn push(&mut self, lane: LaneId, class: usize, rows: usize, patience: u64) {
        let rows: Vec<u64> = (self.next_row..self.next_row + rows as u64).collect();
        self.next_row += rows.len() as u64;
        let deadline = self.now + Duration::from_millis(patience);
        let mailbox = Rc::new(Mailbox::default());
        mailbox.queued.set(rows.len());
        let reply = Sender { mailbox: Rc::clone(&mailbox) };
        let work = Work { lane, class, rows: block(rows.clone()), priority: 0, arrived: self.now, deadline, reply };
        let refused = !self.present[usize::try_from(lane).unwrap()];
        let account = Account { lane, class, rows, deadline, mailbox, refused, lost_batch: false, shut_down: false };
        self.accounts.push(account);
        self.batcher.push(work);
    }

    fn form(&mut self) {
        if self.in_flight.len() == 2 {
            return;
        }
        let Some(batch) = self.batcher.next_batch(self.now) else {
            assert!(
                self.batcher.wake_at().is_none_or(|due| due > self.now),
                "nothing was formed although something is due"
            );
            return;
        };
        let mut joined = RowBlock::default();
        let rows = ids(self.batcher.rows(&batch, &mut joined));
        let shape = shape(batch.lane);
        assert_eq!(rows.len(), batch.rows);
        assert!(batch.rows > 0 && batch.rows <= shape.max_rows());
        assert!(shape.buckets().contains(&batch.bucket) && batch.bucket >= batch.rows);
        let class = self.owner(rows[0]).class;
        for row in &rows {
            let account = self.owner(*row);
            assert_eq!((account.lane, account.class), (batch.lane, class), "a batch mixes lanes or classes");
            assert!(!account.mailbox.cancelled.get(), "cancelled work reached the device");
            assert!(self.now < account.deadline, "expired work reached the device");
            assert!(account.mailbox.answers.borrow().is_empty(), "answered work reached the device");
        }
        // Strictly rising: nothing twice, and in the order of arrival.
        let highest = self.highest.insert((batch.lane, class), rows[rows.len() - 1]);
        assert!(highest.is_none_or(|highest| highest < rows[0]), "rows ran out of order");
        assert!(rows.is_sorted_by(|a, b| a < b), "rows ran out of order");
        self.in_flight.push_back((batch, rows));
    }

    fn finish(&mut self, ending: Ending) {
        let Some((batch, rows)) = self.in_flight.pop_front() else { return };
        if ending != Ending::Good {
            for account in self.accounts.iter_mut().filter(|account| account.rows.iter().any(|row| rows.contains(row)))
            {
                account.lost_batch = true;
            }
        }
        let mut output = block(rows.iter().map(|row| row + SHIFT));
        match ending {
            Ending::Good => self.batcher.complete(batch, Ok(&mut output)),
            Ending::Fails => self.batcher.complete(batch, Err(RunError::Failed { reason: "told to".to_owned() })),
            Ending::Short => self.batcher.complete(batch, Ok(&mut block(rows.iter().skip(1).copied()))),
        }
    }

    /// Runs what is left to its end.
    fn run_out(&mut self) {
        while self.batcher.wake_at().is_some() || !self.in_flight.is_empty() {
            if let Some(due) = self.batcher.wake_at() {
                self.now = self.now.max(due);
            }
            self.form();
            self.finish(Ending::Good);
        }
    }

    fn check(&self) {
        for account in &self.accounts {
            let answers = account.mailbox.answers.borrow();
            let cancelled = account.mailbox.cancelled.get();
            assert!(answers.len() == 1 || cancelled && answers.is_empty(), "expected one answer, got {answers:?}");
            assert_eq!(account.mailbox.queued.get(), 0, "rows still count as queued");
            match answers.first() {
                None => {}
                Some(Ok(rows)) => {
                    let expected: Vec<u64> = account.rows.iter().map(|row| row + SHIFT).collect();
                    assert_eq!(*rows, expected, "an answer holds other rows than its own");
                    assert!(!account.lost_batch, "a failed batch was answered");
                }
                Some(Err(Failure::Run(_))) => assert!(account.lost_batch, "failed without a failed batch"),
                Some(Err(Failure::DeadlinePassed)) => {
                    assert!(cancelled || self.now >= account.deadline, "expired before its deadline");
                }
                Some(Err(Failure::Unloaded)) => assert!(account.refused, "refused although its lane was there"),
                Some(Err(Failure::ShuttingDown)) => assert!(account.shut_down, "shut down without a shutdown"),
            }
        }
        assert_eq!(self.batcher.pendings.len(), 0, "requests are kept although all are answered");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_request_gets_its_own_rows_once(delay in 0..10_u64, events in prop::collection::vec(event(), 0..80)) {
        let mut harness = Harness::new(delay);
        for event in &events {
            harness.play(event);
        }
        harness.run_out();
        harness.check();
    }

    #[test]
    fn shutdown_answers_all_that_waits(events in prop::collection::vec(event(), 0..60)) {
        let mut harness = Harness::new(0);
        for event in &events {
            harness.play(event);
        }
        harness.play(&Event::FailAll);
        prop_assert!(harness.batcher.wake_at().is_none());
        while !harness.in_flight.is_empty() {
            harness.finish(Ending::Good);
        }
        harness.check();
    }
}

fn push(batcher: &mut Batcher<Sender>, rows: RowBlock, now: Instant, patience: Duration) -> Rc<Mailbox> {
    let mailbox = Rc::new(Mailbox::default());
    mailbox.queued.set(rows.rows());
    let reply = Sender { mailbox: Rc::clone(&mailbox) };
    batcher.push(Work { lane: 0, class: 0, rows, priority: 0, arrived: now, deadline: now + patience, reply });
    mailbox
}

#[test]
fn holds_a_batch_back_until_it_is_full_or_due() {
    let (now, delay, patience) = (Instant::now(), Duration::from_millis(5), Duration::from_secs(1));
    let mut batcher = Batcher::default();
    batcher.add_lane(0, shape(0), settings(delay));
    push(&mut batcher, block([1]), now, patience);
    assert!(batcher.next_batch(now).is_none());
    assert_eq!(batcher.wake_at(), Some(now + delay));
    assert_eq!(batcher.next_batch(now + delay).unwrap().rows, 1);
    push(&mut batcher, block([2, 3]), now, patience);
    push(&mut batcher, block([4, 5]), now, patience);
    assert_eq!(batcher.next_batch(now).unwrap().rows, 4);
}

#[test]
fn does_not_hold_back_what_would_be_late() {
    let now = Instant::now();
    let mut batcher = Batcher::default();
    batcher.add_lane(0, shape(0), settings(Duration::from_secs(10)));
    push(&mut batcher, block([1]), now, Duration::from_millis(8));
    assert_eq!(batcher.wake_at(), Some(now + Duration::from_millis(4)));
    assert!(batcher.next_batch(now + Duration::from_millis(4)).is_some());
}

#[test]
fn keeps_blocks_of_different_widths_apart() {
    let now = Instant::now();
    let mut batcher = Batcher::default();
    batcher.add_lane(0, shape(0), settings(Duration::ZERO));
    let mut narrow = RowBlock::new(4);
    narrow.data_mut().push(1_u32);
    push(&mut batcher, narrow, now, Duration::from_secs(1));
    push(&mut batcher, block([1]), now, Duration::from_secs(1));
    assert_eq!(batcher.next_batch(now).unwrap().rows, 1);
    assert_eq!(batcher.next_batch(now).unwrap().rows, 1);
}

#[test]
fn a_lone_request_runs_and_is_answered_without_a_copy() {
    let now = Instant::now();
    let mut batcher = Batcher::default();
    batcher.add_lane(0, shape(0), settings(Duration::ZERO));
    let mailbox = push(&mut batcher, block([1, 2]), now, Duration::from_secs(1));
    let batch = batcher.next_batch(now).unwrap();
    let mut joined = RowBlock::default();
    assert_eq!(ids(batcher.rows(&batch, &mut joined)), [1, 2]);
    assert_eq!(joined.rows(), 0);
    let mut output = block([8, 9]);
    batcher.complete(batch, Ok(&mut output));
    assert_eq!(output.rows(), 0);
    assert_eq!(*mailbox.answers.borrow(), [Ok(vec![8, 9])]);
}

#[test]
fn uses_the_buckets_up_to_the_limit() {
    assert_eq!(LaneShape::new(&[64, 1, 8, 8, 0, 512], 100).unwrap().buckets(), [1, 8, 64]);
    assert_eq!(LaneShape::new(&[64, 512], 10).unwrap().buckets(), [64]);
    assert_eq!(LaneShape::new(&[0], 10), None);
    assert_eq!(LaneShape::new(&[], 10), None);
}
