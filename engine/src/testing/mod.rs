//! A fake model for tests of engine and server: exact answers, and faults on demand. Never in the product.
//!
//! `y` of a row is the sum of its features plus an offset, so with whole numbers every row's answer names the row, and the
//! offset names the version. A [`FakeProbe`] tells what was done to the model and holds its batches back on demand.

mod format;
mod model;
mod probe;
mod replica;

pub use self::{
    format::FakeFormat,
    model::{FakeModel, FakeSettings},
    probe::FakeProbe,
};
