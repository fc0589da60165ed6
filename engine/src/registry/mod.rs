//! TBD

mod selector;

pub use selector::{VersionSelector, is_name, parse_model_reference};
