//! As much of the Open Inference Protocol as one input and one output need.

use serde::{Deserialize, Serialize};

/// Width of a row.
pub(crate) const FEATURES: usize = 30;

#[derive(Deserialize)]
pub(crate) struct Request {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: Vec<f32>,
}

impl Request {
    /// The one row, or what is wrong with the request.
    pub(crate) fn row(&self) -> Result<&[f32], &'static str> {
        match self.inputs.as_slice() {
            [Input { name, shape, datatype, data }]
                if name == "x" && datatype == "FP32" && shape[..] == [1, FEATURES] && data.len() == FEATURES =>
            {
                Ok(data)
            }
            _ => Err("expected one input x, FP32, [1, 30]"),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    model_name: &'a str,
    model_version: &'static str,
    outputs: [Output; 1],
}

#[derive(Serialize)]
struct Output {
    name: &'static str,
    datatype: &'static str,
    shape: [usize; 2],
    data: Vec<f32>,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(model: &'a str, data: Vec<f32>) -> Self {
        let output = Output { name: "y", datatype: "FP32", shape: [1, data.len()], data };
        Self { model_name: model, model_version: "1", outputs: [output] }
    }
}
