//! The machine and this process, through sysinfo; the GPUs through NVML.
//!
//! Looked at when asked for and at most once a second: between two looks the last answer is given. CPU use is the
//! difference between two looks, so the first one is taken when the probe is made.

use std::{
    fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{
    gpu::Gpus,
    report::{GpuReport, HostReport, ProcessReport},
};

const EVERY: Duration = Duration::from_secs(1);

/// One look.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampled {
    pub(super) host: HostReport,
    pub(super) process: ProcessReport,
    pub(super) gpus: Vec<GpuReport>,
    pub(super) gpus_absent: Option<String>,
}

pub(super) struct HostProbe {
    started: Instant,
    /// Held while looking, so that one thread looks and others get the last answer at once.
    sampler: Mutex<Sampler>,
    last: Mutex<Option<Sampled>>,
}

impl fmt::Debug for HostProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostProbe").field("last", &self.last).finish_non_exhaustive()
    }
}

struct Sampler {
    /// None where sysinfo does not know the platform.
    system: Option<System>,
    pid: Option<Pid>,
    gpus: Option<Gpus>,
    /// When CPU counters were last read, and whether that made a difference to an earlier reading.
    cpu_read: Instant,
    cpu_known: bool,
    sampled: Option<Instant>,
}

impl HostProbe {
    pub(super) fn new() -> Self {
        let mut sampler = Sampler {
            system: System::new().ok(),
            pid: sysinfo::get_current_pid().ok(),
            gpus: None,
            cpu_read: Instant::now(),
            cpu_known: false,
            sampled: None,
        };
        sampler.read_cpu();
        Self { started: Instant::now(), sampler: Mutex::new(sampler), last: Mutex::default() }
    }

    /// The state now, or that of the last look when it is fresh enough or another thread is looking.
    pub(super) fn sample(&self) -> Sampled {
        let known = self.last.lock().clone();
        let mut sampled = match (known, self.sampler.try_lock()) {
            (Some(known), None) => known,
            (Some(known), Some(sampler)) if !sampler.is_due() => known,
            (_, Some(mut sampler)) => self.look(&mut sampler),
            // The first answer is being made by another thread.
            (None, None) => self.look(&mut self.sampler.lock()),
        };
        sampled.process.uptime_seconds = self.started.elapsed().as_secs_f64();
        sampled
    }

    fn look(&self, sampler: &mut Sampler) -> Sampled {
        let seen = sampler.look();
        *self.last.lock() = Some(seen.clone());
        seen
    }
}

impl Sampler {
    fn is_due(&self) -> bool {
        let cpu_can_be_known = !self.cpu_known && self.cpu_read.elapsed() >= MINIMUM_CPU_UPDATE_INTERVAL;
        cpu_can_be_known || self.sampled.is_none_or(|sampled| sampled.elapsed() >= EVERY)
    }

    fn read_cpu(&mut self) {
        let (Some(system), Some(pid)) = (&mut self.system, self.pid) else { return };
        system.refresh_cpu_usage();
        let process = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, process);
        self.cpu_read = Instant::now();
    }

    fn look(&mut self) -> Sampled {
        if self.cpu_read.elapsed() >= MINIMUM_CPU_UPDATE_INTERVAL {
            self.read_cpu();
            self.cpu_known = true;
        }
        self.sampled = Some(Instant::now());
        let (gpus, gpus_absent) = match self.gpus.get_or_insert_with(Gpus::open).sample() {
            Ok(gpus) => (gpus, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let Some(system) = &mut self.system else { return Sampled { gpus, gpus_absent, ..Sampled::default() } };
        system.refresh_memory();
        let process = self.pid.and_then(|pid| system.process(pid));
        let total = system.total_memory();
        let limit = system.cgroup_limits().map(|limits| limits.total_memory).filter(|limit| *limit < total);
        Sampled {
            host: HostReport {
                cpu_percent: self.cpu_known.then(|| f64::from(system.global_cpu_usage())),
                memory_used_bytes: Some(system.used_memory()),
                memory_total_bytes: Some(total),
                memory_limit_bytes: limit,
                cores: std::thread::available_parallelism().ok().map(|cores| cores.get() as u64),
            },
            process: ProcessReport {
                rss_bytes: process.map(sysinfo::Process::memory),
                cpu_percent: process.filter(|_| self.cpu_known).map(|process| f64::from(process.cpu_usage())),
                uptime_seconds: 0.0,
            },
            gpus,
            gpus_absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_this_process_work() {
        let probe = HostProbe::new();
        let first = probe.sample();
        assert!(first.process.rss_bytes.unwrap() > 1 << 20);
        assert!(first.host.memory_total_bytes.unwrap() >= first.host.memory_used_bytes.unwrap());
        assert_eq!(first.host.cpu_percent, None);
        let start = Instant::now();
        let mut sum = 0_u64;
        while start.elapsed() < MINIMUM_CPU_UPDATE_INTERVAL + Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 7);
        }
        let second = probe.sample();
        assert!(second.process.cpu_percent.unwrap() > 5.0, "{second:?}");
        assert!(second.host.cpu_percent.unwrap() > 0.0);
        assert!(second.process.uptime_seconds >= 0.25);
    }

    #[test]
    fn gives_the_last_answer_while_it_is_fresh() {
        let probe = HostProbe::new();
        std::thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL);
        let first = probe.sample();
        let looked = probe.sampler.lock().sampled;
        let second = probe.sample();
        assert_eq!(probe.sampler.lock().sampled, looked);
        assert_eq!(first.host, second.host);
    }

    #[test]
    fn answers_while_another_thread_looks() {
        let probe = HostProbe::new();
        probe.sample();
        let _looking = probe.sampler.lock();
        assert!(probe.sample().process.rss_bytes.is_some());
    }

    #[test]
    fn says_why_there_is_no_gpu() {
        let sampled = HostProbe::new().sample();
        assert_eq!(sampled.gpus.is_empty(), sampled.gpus_absent.is_some());
    }
}
