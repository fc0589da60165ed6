//! The atomics of the code that many threads share. The interleaving tests ([`super::interleavings`]) compile that code a second
//! time with a module of this name that explores schedules.

pub(super) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};
