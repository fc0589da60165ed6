//! Tree models served: the [`trees`] crate's ensembles as artifacts and as models that answer requests.
//!
//! On a GPU they are walked there (`replica`), if they are sums of constant leaves; else, and on the CPU, by the crate itself. Every
//! row gives the same bits in any batch on a device; from the CPU to a GPU, they may differ by what rounding after each tree loses.

mod export;
mod format;
mod import;
mod inputs;
mod model;
mod outputs;
#[cfg(feature = "gpu")]
mod replica;

pub use export::TreeExport;
pub use format::TREES_KIND;
pub(crate) use format::open;
pub use import::{ImportedTrees, TreeImport, import_trees};
pub use model::TreeModel;
pub use trees::import::Format as TreeFormat;
