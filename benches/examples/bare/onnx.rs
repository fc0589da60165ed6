//! A net through ONNX Runtime, as its documentation recommends for one row: one session a thread, no threads inside it.

use std::path::Path;

use anyhow::{Result, anyhow};
use ort::{environment::Environment, session::Session, value::TensorRef};

use super::{Net, protocol::FEATURES};

/// Loads the library.
pub(crate) fn load(library: &Path) -> Result<Environment> {
    ort::init_from(library).map_err(told)?.build().map_err(told)
}

pub(crate) struct OnnxNet(Session);

impl OnnxNet {
    pub(crate) fn open(environment: &Environment, path: &Path) -> Result<Self> {
        let builder = Session::builder(environment).map_err(told)?;
        let mut builder = builder.with_intra_threads(1).map_err(told)?.with_inter_threads(1).map_err(told)?;
        Ok(Self(builder.commit_from_file(path).map_err(told)?))
    }
}

impl Net for OnnxNet {
    fn run(&mut self, row: &[f32]) -> Result<Vec<f32>> {
        let input = TensorRef::from_array_view(([1_usize, FEATURES], row)).map_err(told)?;
        let outputs = self.0.run(ort::inputs!["x" => input]).map_err(told)?;
        let (_shape, values) = outputs["y"].try_extract_tensor::<f32>().map_err(told)?;
        Ok(values.to_vec())
    }
}

/// Its errors hold what must not leave the thread.
fn told(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("ONNX Runtime: {error}")
}
