//! Tree models of other tools as artifacts, and as models that answer requests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![cfg_attr(feature = "gpu", expect(clippy::print_stdout, reason = "tests print why they are skipped"))]

#[cfg(feature = "gpu")]
mod gpu;
mod imports;
mod requests;

use std::path::{Path, PathBuf};

use contract::{AlignedBuffer, Model, RowBlock, Tensor};
use models::tree::{TreeImport, TreeModel, import_trees};

/// A golden file of the crate that reads the formats.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("trees/tests/data").join(name)
}

/// Imports a golden file and opens what came of it.
fn imported(name: &str) -> (tempfile::TempDir, TreeModel) {
    let directory = tempfile::tempdir().unwrap();
    let artifact = directory.path().join("artifact");
    import_trees(&data(name), &artifact, &TreeImport::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let model = TreeModel::open(&artifact).unwrap_or_else(|error| panic!("{name}: {error}"));
    (directory, model)
}

/// A request's outputs, the way of a thread that computes them itself.
fn answer(model: &TreeModel, inputs: &[Tensor]) -> Vec<Tensor> {
    let (mut rows, mut margins) = (RowBlock::default(), RowBlock::default());
    model.encode(inputs, &mut rows).unwrap();
    model.direct().unwrap().run(&rows, &mut AlignedBuffer::new(), &mut margins).unwrap();
    model.decode(&margins, &[]).unwrap()
}
