//! The executor threads of each device, and on which of them a replica goes.
//!
//! An accelerator has one thread, whatever is placed there: a thread of its own would cost each replica a stream and memory
//! pools of its own. A CPU has one thread as long as no version has several replicas; then as many as the version with the most
//! of them needs, so that no two replicas of a version share a thread. A thread that holds nothing any more ends, but for each
//! device's first.
//!
//! Replicas of a version are spread: the next one goes to the device that has the fewest of that version, among equals to the
//! one with the fewest of all, and in turns among equals again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use contract::{Device, DeviceKind, RunError};
use parking_lot::Mutex;

use super::{executor::Executor, settings::ServingSettings};
use crate::{Error, Result, monitor::Monitor};

/// The executors of all devices.
pub(super) struct Pool {
    hosts: Vec<Arc<Host>>,
    settings: ServingSettings,
    monitor: Monitor,
    turn: AtomicUsize,
}

/// One device.
struct Host {
    device: Device,
    threads: Mutex<Vec<Thread>>,
}

struct Thread {
    /// Among its device's, from 0; used again when it ended.
    number: usize,
    executor: Arc<Executor>,
    /// Replicas placed or on their way.
    replicas: usize,
}

/// A replica's place on an executor; given back when it is dropped, which comes behind the drop of the replica.
pub(super) struct Place {
    host: Arc<Host>,
    executor: Arc<Executor>,
}

impl Pool {
    /// Starts one executor thread for each of `devices`.
    pub(super) fn new(settings: ServingSettings, devices: Vec<Device>, monitor: Monitor) -> Result<Self> {
        let mut pool = Self { hosts: Vec::new(), settings, monitor, turn: AtomicUsize::new(0) };
        for device in devices {
            let first = Thread { number: 0, executor: pool.start(&device, 0)?, replicas: 0 };
            pool.hosts.push(Arc::new(Host { device, threads: Mutex::new(vec![first]) }));
        }
        Ok(pool)
    }

    /// A place for the next replica of a version that has those in `taken`.
    ///
    /// # Errors
    /// [`Error::Run`] when every device is gone, [`Error::Io`] when a thread cannot start.
    pub(super) fn reserve(&self, taken: &[&Place]) -> Result<Place> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.hosts.len().max(1);
        let in_turn = self.hosts.iter().cycle().skip(first).take(self.hosts.len());
        let usable = in_turn.filter(|host| host.failure().is_none());
        let chosen = usable.min_by_key(|host| {
            let of_version = taken.iter().filter(|place| Arc::ptr_eq(&place.host, host)).count();
            (of_version, host.replicas())
        });
        let Some(host) = chosen else {
            let failure = self.failure().map(Error::Run);
            return Err(failure.unwrap_or_else(|| Error::Internal("there is no device".to_owned())));
        };
        let mut threads = host.threads.lock();
        let alone = |thread: &&mut Thread| {
            host.device.kind != DeviceKind::Cpu
                || !taken.iter().any(|place| Arc::ptr_eq(&place.executor, &thread.executor))
        };
        let free = threads.iter_mut().filter(alone).min_by_key(|thread| thread.replicas);
        let executor = if let Some(thread) = free {
            thread.replicas += 1;
            Arc::clone(&thread.executor)
        } else {
            let number = (0..=threads.len())
                .find(|number| threads.iter().all(|thread| thread.number != *number))
                .unwrap_or_default();
            let executor = self.start(&host.device, number)?;
            threads.push(Thread { number, executor: Arc::clone(&executor), replicas: 1 });
            executor
        };
        drop(threads);
        Ok(Place { host: Arc::clone(host), executor })
    }

    /// Why a device can answer nothing any more.
    pub(super) fn failure(&self) -> Option<RunError> {
        self.hosts.iter().find_map(|host| host.failure())
    }

    /// All threads.
    pub(super) fn executors(&self) -> Vec<Arc<Executor>> {
        let of = |host: &Arc<Host>| -> Vec<_> {
            host.threads.lock().iter().map(|thread| Arc::clone(&thread.executor)).collect()
        };
        self.hosts.iter().flat_map(of).collect()
    }

    /// Starts thread number `number` of a device. Each is observed by itself, because it is busy by itself.
    fn start(&self, device: &Device, number: usize) -> Result<Arc<Executor>> {
        let observed = self.monitor.device_thread(device, number);
        Executor::start(device.clone(), &self.settings, observed).map(Arc::new)
    }
}

impl Host {
    fn failure(&self) -> Option<RunError> {
        self.threads.lock().iter().find_map(|thread| thread.executor.failure())
    }

    fn replicas(&self) -> usize {
        self.threads.lock().iter().map(|thread| thread.replicas).sum()
    }
}

impl Place {
    pub(super) const fn executor(&self) -> &Arc<Executor> {
        &self.executor
    }

    pub(super) fn device(&self) -> DeviceKind {
        self.executor.device().kind
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut threads = self.host.threads.lock();
        let Some(index) = threads.iter().position(|thread| Arc::ptr_eq(&thread.executor, &self.executor)) else {
            return;
        };
        threads[index].replicas -= 1;
        // The thread ends when the last handle goes, which is this one or that of whoever just looks at it.
        if threads[index].replicas == 0 && index > 0 {
            threads.remove(index);
        }
    }
}
