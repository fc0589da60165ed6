//! Neural nets.
mod checkpoint;
mod faults;
mod fit;
mod loss;
pub mod metrics;
mod mlp;
mod sampler;
mod settings;
mod weights;

pub use fit::TrainControl;
pub use mlp::{Layer, Mlp, MlpShape};
pub use settings::MlpSettings;
