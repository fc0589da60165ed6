//! What must hold for any bytes that a client sends, and for any file that is said to be a model.
//!
//! A [`Target`] is a decoder of the server, or a reader of model files, with what must be true of it: it never panics, what it
//! accepts means one thing only (written again and read again, it is the same; a model gives the same answers by every way),
//! and it takes no more memory than a multiple of what came, and no long time. [`Mutator`] makes inputs of those in `corpus/`.
//! `cargo test` replays the corpus and runs each target for a moment, always with the same inputs; the program of this crate
//! runs one for as long as it is told.

mod check;
mod corpus;
mod ensembles;
mod mutate;
mod seeds;
mod targets;
mod words;

pub use check::{Verdict, check};
pub use corpus::{corpus_folder, read_corpus, write_corpus};
pub use mutate::Mutator;
pub use targets::{TARGETS, Target};
