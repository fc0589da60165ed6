//! Neural nets on burn: the multi-layer perceptron, its training, and the net as it is served.
//!
//! - Training: [`train`] takes a table to an artifact. The loop is our own and small (`fit`): batches are gathered on the
//!   device from rows that were uploaded once, losses are read back once an epoch, all randomness is a function of seed and
//!   epoch (`sampler`), and the state after every epoch is on disk (`checkpoint`).
//! - Serving: [`Formats`] opens an artifact as a [`TableNet`] (host half), which places replicas on devices (`replica`).
//! - [`import_dense`] makes an artifact of weights from elsewhere.
//!
//! Invariants: on the CPU the same seed gives the same parameters bit for bit, resumed or not, and a saved net's answers
//! are the bits they were. Nothing is promised to the bit on other devices. Devices are run-time values; no type here has a
//! backend parameter.

mod checkpoint;
mod dense;
mod faults;
mod fit;
mod format;
mod head;
mod import;
mod loss;
pub mod metrics;
mod mlp;
mod net;
mod prepare;
mod provenance;
mod replica;
mod sampler;
mod save;
mod settings;
mod train;
mod weights;

#[cfg(feature = "gpu")]
pub(crate) use faults::failure;
pub use fit::TrainControl;
pub use format::{DENSE_KIND, Formats, MLP_KIND};
pub use head::{LABEL, PREDICTION, PROBABILITIES};
pub use import::{ImportOptions, Imported, import_dense};
pub use mlp::{Layer, Mlp, MlpShape};
pub use net::TableNet;
pub(crate) use provenance::packages;
pub use settings::MlpSettings;
pub use train::{TrainOptions, Trained, train};
