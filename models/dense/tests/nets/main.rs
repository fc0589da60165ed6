//! Nets beside the same functions in f64, for every set of instructions that the machine has.

mod allocations;
mod bits;
mod functions;
mod reference;
mod refused;
mod source;
