//! Sleep to the microsecond: tokio's own timer knows milliseconds only, longer than most answers take.

use std::{io, time::Instant};

/// A timer of the operating system on Linux; tokio's elsewhere.
#[derive(Debug)]
pub(crate) struct Timer {
    #[cfg(target_os = "linux")]
    descriptor: tokio::io::unix::AsyncFd<Descriptor>,
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Descriptor(nix::sys::timerfd::TimerFd);

#[cfg(target_os = "linux")]
impl std::os::fd::AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsFd::as_fd(&self.0).as_raw_fd()
    }
}

impl Timer {
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> io::Result<Self> {
        use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; the descriptor is owned, and stays the same while registered"
        )]
        let descriptor = tokio::io::unix::AsyncFd::with_interest(Descriptor(timer), tokio::io::Interest::READABLE)?;
        Ok(Self { descriptor })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Sleeps until `instant`; may wake earlier.
    #[cfg(target_os = "linux")]
    pub(crate) async fn sleep_until(&self, instant: Instant) -> io::Result<()> {
        use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};

        let left = instant.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        self.descriptor.get_ref().0.set(Expiration::OneShot(left.into()), TimerSetTimeFlags::empty())?;
        // The expiry need not be read: setting the timer anew resets it, and the next expiry is a new event.
        self.descriptor.readable().await?.clear_ready();
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) async fn sleep_until(&self, instant: Instant) -> io::Result<()> {
        tokio::time::sleep_until(instant.into()).await;
        Ok(())
    }
}
