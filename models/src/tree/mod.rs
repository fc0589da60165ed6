//! Tree models served: the [`trees`] crate's ensembles as artifacts and as models that answer requests.
//!
//! They answer on the CPU, wherever they are placed, and every row gives the same bits in any batch.

mod export;
mod format;
mod import;
mod inputs;
mod model;
mod outputs;

pub use export::TreeExport;
pub use format::TREES_KIND;
pub(crate) use format::open;
pub use import::{ImportedTrees, TreeImport, import_trees};
pub use model::TreeModel;
pub use trees::import::Format as TreeFormat;
