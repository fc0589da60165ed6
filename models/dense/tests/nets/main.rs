//! Nets beside the same functions in f64, for every set of instructions that the machine has.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod allocations;
mod bits;
mod functions;
mod reference;
mod refused;
mod source;
