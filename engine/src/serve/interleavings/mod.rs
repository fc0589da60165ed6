//! The code that many threads share, compiled a second time on atomics whose every use is a point where another thread may go on,
//! and run in thousands of schedules.
//!
//! Locks and channels of libraries are taken as they are: between two of our atomics their calls are one step.

#[expect(dead_code, clippy::duplicate_mod, reason = "only what is shared between threads is run here")]
#[path = "../admission.rs"]
mod admission;
#[expect(clippy::duplicate_mod, reason = "on other atomics here")]
#[path = "../arrivals.rs"]
mod arrivals;
#[expect(dead_code, clippy::duplicate_mod, reason = "waiting for a command would stop all threads of a schedule")]
#[path = "../channel.rs"]
mod channel;
#[expect(dead_code, clippy::duplicate_mod, reason = "only what is shared between threads is run here")]
#[path = "../gate.rs"]
mod gate;
mod sync {
    pub(super) use shuttle::sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    };
}

use std::time::{Duration, Instant};

use shuttle::{future::block_on, thread};

use self::{
    admission::{DeviceLoad, LaneLoad, Refusal},
    channel::{NotSent, channel},
    gate::Gate,
    sync::{Arc, AtomicBool, AtomicUsize, Ordering},
};
use super::settings::{self, LaneSettings, ModelServing, ServingSettings};

const SCHEDULES: usize = 3000;

/// Explores at random, and with few preemptions at points chosen at random, which finds what needs one at the wrong moment.
fn explore(run: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(run, SCHEDULES);
    shuttle::check_pct(run, SCHEDULES, 3);
}

/// Tells when it is dropped.
struct Sent(Arc<AtomicUsize>);

impl Drop for Sent {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn whatever_is_sent_while_the_receiver_ends_is_received_or_dropped() {
    explore(|| {
        let (outbox, inbox) = channel::<Sent>(4);
        let (outbox, dropped, taken) = (Arc::new(outbox), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let receiver = thread::spawn({
            let taken = Arc::clone(&taken);
            move || {
                let take = |taken: &AtomicUsize| {
                    while inbox.take().is_some() {
                        taken.fetch_add(1, Ordering::SeqCst);
                    }
                };
                take(&taken);
                inbox.end();
                take(&taken);
                // Kept, as another handle of the channel keeps it: what is left behind would stay in it.
                inbox
            }
        });
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (outbox, dropped) = (Arc::clone(&outbox), Arc::clone(&dropped));
                thread::spawn(move || match outbox.send(Sent(Arc::clone(&dropped))) {
                    Ok(()) | Err(NotSent::Ended) => {}
                    Err(NotSent::Full(_)) => panic!("there was room for all"),
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        let inbox = receiver.join().unwrap();
        assert!(outbox.has_ended());
        assert_eq!(dropped.load(Ordering::SeqCst), 2, "one was left behind");
        drop(inbox);
    });
}

fn lane_of(max_queue_rows: usize, now: Instant) -> (Arc<DeviceLoad>, Arc<LaneLoad>) {
    let process = ServingSettings { max_queue_rows, ..ServingSettings::default() };
    let settings = LaneSettings::new(&process, &ModelServing::default());
    let device = Arc::new(DeviceLoad::new(max_queue_rows, now));
    let lane = Arc::new(LaneLoad::new(Arc::clone(&device), &[1, 4], &settings));
    (device, lane)
}

#[test]
fn a_queue_never_holds_more_than_its_bound_and_gives_all_back() {
    explore(|| {
        let now = Instant::now();
        let (device, lane) = lane_of(5, now);
        let held = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = [3, 2, 4]
            .into_iter()
            .map(|rows| {
                let (lane, held) = (Arc::clone(&lane), Arc::clone(&held));
                thread::spawn(move || match lane.admit(rows, 0, now, now + Duration::from_secs(1)) {
                    Ok(mut permit) => {
                        assert!(held.fetch_add(rows, Ordering::SeqCst) + rows <= 5, "more rows wait than allowed");
                        held.fetch_sub(rows, Ordering::SeqCst);
                        permit.release(1);
                        true
                    }
                    Err(Refusal::Overloaded { .. }) => false,
                    Err(other) => panic!("refused: {other:?}"),
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        assert_eq!((device.queued_rows(), lane.queued_rows()), (0, 0));
        assert!(lane.admit(5, 0, now, now + Duration::from_secs(1)).is_ok());
    });
}

#[test]
fn one_request_alone_tries_what_the_forecast_refuses() {
    explore(|| {
        let now = Instant::now();
        let (_device, lane) = lane_of(100, now);
        lane.publish([1_000_000_000, 1_000_000_000].into_iter(), now);
        let later = now + Duration::from_secs(10);
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let lane = Arc::clone(&lane);
                thread::spawn(move || lane.admit(1, 0, later, later + Duration::from_millis(5)).is_ok())
            })
            .collect();
        let taken = clients.into_iter().map(|client| usize::from(client.join().unwrap())).sum::<usize>();
        assert!(taken <= 1, "{taken} requests were let through");
    });
}

/// A version as routed to: its gate, and whether its replica is there.
struct Version {
    gate: Gate,
    placed: AtomicBool,
}

#[test]
fn nobody_is_inside_a_version_whose_replica_is_gone() {
    explore(|| {
        let version = |_| Version { gate: Gate::default(), placed: AtomicBool::new(true) };
        let versions = Arc::new([0, 1].map(version));
        // The table of routes: who finds a gate closed finds another version next.
        let routed = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let (versions, routed) = (Arc::clone(&versions), Arc::clone(&routed));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let version = loop {
                            let version = &versions[routed.load(Ordering::Acquire)];
                            if version.gate.enter() {
                                break version;
                            }
                        };
                        assert!(version.placed.load(Ordering::Acquire), "inside a version that is gone");
                        version.gate.leave();
                    }
                })
            })
            .collect();
        let swap = thread::spawn({
            let versions = Arc::clone(&versions);
            move || {
                routed.store(1, Ordering::Release);
                versions[0].gate.close();
                block_on(versions[0].gate.closed_and_empty());
                versions[0].placed.store(false, Ordering::Release);
            }
        });
        for client in clients {
            client.join().unwrap();
        }
        swap.join().unwrap();
    });
}
