//! Nets end to end: trained from a table on disk, saved, loaded and served, on the CPU and on any GPU adapter there is.
//!
//! One binary for all of them, because linking burn takes most of their time.

mod gpu;
mod import;
mod replica;
mod serve;
mod tables;
mod train;
