//! Neural nets on burn: what they are made of, their training, and nets as they are served.
//!
//! - [`nets`]: perceptrons, ensembles of them, residual nets and transformers over tables, with embeddings of numbers.
//! - Training: [`train`] takes a table to an artifact. The loop is our own and small (`fit`): batches are gathered on the
//!   device from rows that were uploaded once, all randomness is a function of seed, epoch and step (`sampler`), and the state
//!   is on disk behind every epoch and every half minute (`checkpoint`).
//! - Serving: [`Formats`] opens an artifact as a [`TableNet`] (host half), which places replicas on devices (`replica`).
//! - [`import_net`] makes an artifact of weights from elsewhere.
//!
//! Invariants: on the CPU the same seed gives the same parameters bit for bit, resumed or not, and a saved net's answers
//! are the bits they were. Nothing is promised to the bit on other devices. Devices are run-time values; no type here has a
//! backend parameter.

mod checkpoint;
mod export;
mod faults;
mod fit;
mod format;
mod head;
mod host;
mod import;
pub(crate) mod judge;
mod loss;
pub mod metrics;
mod mlp;
mod net;
pub mod nets;
mod precision;
mod prepare;
mod provenance;
mod replica;
mod sampler;
mod save;
mod settings;
mod train;
mod weigh;
mod weights;

pub use export::export_net;
#[cfg(feature = "gpu")]
pub(crate) use faults::failure;
pub use fit::TrainControl;
pub use format::{DENSE_KIND, Formats};
pub use head::{LABEL, PREDICTION, PROBABILITIES};
pub use import::{ImportOptions, Imported, import_net};
pub use mlp::{Layer, MlpShape};
pub use net::TableNet;
pub use precision::Precision;
pub(crate) use provenance::packages;
pub use settings::{EmbeddingSettings, NetName, NetSettings, Schedule};
pub use train::{Split, TrainOptions, Trained, train};
