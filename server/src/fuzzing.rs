//! What the fuzz targets take hold of (feature `fuzzing`): for each form of a request, its decoder as the server calls it, and a
//! proof that what was accepted means one thing only: written again and read again, it is the same.

use std::borrow::Cow;

use contract::{DataType, Signature, Tensor};

use crate::{
    grpc::fuzzing as grpc,
    wire::{self, NoRegions, Place, PlacedOutput, TfsForm},
};

/// Most bytes that a request may ask to be repeated (features of a context, elements that fill a shape), where the server
/// allows as many as a body may have.
pub const MOST_REPEATED: usize = 1 << 16;

/// What a decoder accepted.
pub struct Accepted {
    again: Box<dyn FnOnce() -> Result<(), String>>,
}

impl Accepted {
    fn new(again: impl FnOnce() -> Result<(), String> + 'static) -> Self {
        Self { again: Box::new(again) }
    }

    /// Writes it and reads it again.
    ///
    /// # Errors
    /// What is not the same, or why it cannot be written or read again.
    pub fn prove(self) -> Result<(), String> {
        (self.again)()
    }
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepted").finish_non_exhaustive()
    }
}

/// A body, and the length of its JSON when raw tensors stand behind it.
pub type Body = (Vec<u8>, Option<usize>);

/// The body of `POST …/infer`: JSON, and behind the first `json` bytes raw tensors, if that is given. None when it is refused.
#[must_use]
pub fn http_infer(body: &[u8], json: Option<usize>) -> Option<Accepted> {
    let inputs = wire::decode_infer(body, json, &NoRegions).ok()?.inputs;
    Some(Accepted::new(move || {
        for binary in [false, true] {
            let Some((body, json)) = http_request(&inputs, binary)? else { continue };
            let again = wire::decode_infer(&body, json, &NoRegions).map_err(|error| error.to_string())?;
            same(&inputs, &again.inputs)?;
        }
        Ok(())
    }))
}

/// The body of a request with these inputs, raw or in JSON, and the length of its JSON; none when that form cannot hold them.
///
/// # Errors
/// Why it cannot be written.
pub fn http_request(inputs: &[Tensor], binary: bool) -> Result<Option<Body>, String> {
    // An answer differs from a request in its head alone.
    const ANSWER: &[u8] = br#"{"model_name":"","model_version":"1","outputs":"#;
    const REQUEST: &[u8] = br#"{"inputs":"#;
    let place = |tensor: &Tensor| match tensor.validity() {
        // Raw bytes have no place for missing elements.
        None if binary => Place::Binary,
        None | Some(_) => Place::Json,
    };
    let outputs: Vec<PlacedOutput<'_>> =
        inputs.iter().map(|tensor| PlacedOutput { tensor: Cow::Borrowed(tensor), place: place(tensor) }).collect();
    if outputs.iter().any(|output| output.place == Place::Json && !has_json(&output.tensor)) {
        return Ok(None);
    }
    let mut answer = Vec::new();
    let json = wire::encode_infer(&mut answer, None, "", 1, &outputs).map_err(|error| error.to_string())?;
    let rest = answer.strip_prefix(ANSWER).ok_or("expected an answer to begin as it did")?;
    let json = json.map(|length| length - ANSWER.len() + REQUEST.len());
    Ok(Some(([REQUEST, rest].concat(), json)))
}

/// Whether JSON has numbers or text for a tensor.
fn has_json(tensor: &Tensor) -> bool {
    // Of all NaNs, one has a word.
    let single = |value: &f32| !value.is_nan() || value.to_bits() == f32::NAN.to_bits();
    let double = |value: &f64| !value.is_nan() || value.to_bits() == f64::NAN.to_bits();
    !matches!(tensor.datatype(), DataType::Fp16 | DataType::Bf16)
        && tensor.strings().is_none_or(|strings| strings.iter().all(|text| std::str::from_utf8(text).is_ok()))
        && tensor.values::<f32>().is_none_or(|values| values.iter().all(single))
        && tensor.values::<f64>().is_none_or(|values| values.iter().all(double))
}

/// A tensor as raw bytes: name, datatype and shape as the sender says, and what came; none when it is refused.
#[must_use]
pub fn raw_tensor(datatype: DataType, shape: &[usize], bytes: &[u8]) -> Option<Accepted> {
    let tensor = wire::raw::decode("x", datatype, shape, bytes).ok()?;
    let bytes = bytes.to_vec();
    Some(Accepted::new(move || {
        let again = wire::raw::encode(&[tensor].into(), 0).map_err(|error| error.to_string())?;
        if again == bytes { Ok(()) } else { Err(format!("{} bytes came and {} go out", bytes.len(), again.len())) }
    }))
}

/// The message `ModelInferRequest`; none when it is refused.
#[must_use]
pub fn grpc_infer(message: &[u8]) -> Option<Accepted> {
    let inputs = grpc::decode(message)?;
    Some(Accepted::new(move || {
        for raw in [false, true] {
            // A datatype without typed contents came as raw bytes and goes so.
            let Some(message) = grpc_request(&inputs, raw)? else { continue };
            let again = grpc::decode(&message).ok_or("what was written is refused")?;
            same(&inputs, &again)?;
        }
        Ok(())
    }))
}

/// A message `ModelInferRequest` with these inputs, raw or in typed contents; none when typed contents cannot hold them.
///
/// # Errors
/// Why it cannot be written.
pub fn grpc_request(inputs: &[Tensor], raw: bool) -> Result<Option<Vec<u8>>, String> {
    grpc::encode(inputs, raw)
}

/// The body of TensorFlow Serving's `:predict` for a model of this signature; none when it is refused.
#[must_use]
pub fn tfs_predict(body: &[u8], signature: &Signature) -> Option<Accepted> {
    let wire::TfsPredict { signature_name: _, form, inputs, explain: _ } =
        wire::decode_tfs_predict(body, signature).ok()?;
    let signature = signature.clone();
    Some(Accepted::new(move || {
        // Which inputs must be there is the model's affair; one alone goes out without its name, which only a model of one takes.
        if inputs.is_empty() || (inputs.len() == 1 && signature.inputs.len() > 1) {
            return Ok(());
        }
        // An input takes base64 whatever its name; an output gives it only under a name that says so.
        if inputs.iter().any(holds_no_text) {
            return Ok(());
        }
        let body = tfs_request(form, &inputs)?;
        let again = wire::decode_tfs_predict(&body, &signature).map_err(|error| error.to_string())?;
        same(&inputs, &again.inputs)
    }))
}

fn holds_no_text(input: &Tensor) -> bool {
    input.strings().is_some_and(|strings| strings.iter().any(|text| std::str::from_utf8(text).is_err()))
}

/// The body of a `:predict` with these inputs.
///
/// # Errors
/// Why it cannot be written.
pub fn tfs_request(form: TfsForm, inputs: &[Tensor]) -> Result<Vec<u8>, String> {
    let (answer, request): (&[u8], &[u8]) = match form {
        TfsForm::Row => (b"{\"predictions\":", b"{\"instances\":"),
        TfsForm::Columnar => (b"{\"outputs\":", b"{\"inputs\":"),
    };
    let mut body = Vec::new();
    wire::encode_tfs_predict(&mut body, form, inputs, &[]).map_err(|error| error.to_string())?;
    let rest = body.strip_prefix(answer).ok_or("expected an answer to begin as it did")?;
    Ok([request, rest].concat())
}

/// The body of TensorFlow Serving's `:classify` and `:regress`; none when it is refused.
#[must_use]
pub fn tfs_examples(body: &[u8], signature: &Signature) -> Option<Accepted> {
    let inputs = wire::decode_tfs_examples(body, signature, MOST_REPEATED).ok()?.inputs;
    Some(Accepted::new(move || one_row_an_example(&inputs)))
}

/// The message `tensorflow.serving.PredictRequest`; none when it is refused.
#[must_use]
pub fn grpc_tfs_predict(message: &[u8]) -> Option<Accepted> {
    let inputs = grpc::decode_tfs(message)?;
    Some(Accepted::new(move || {
        let again = grpc::decode_tfs(&grpc_tfs_request(&inputs)?).ok_or("what was written is refused")?;
        // Entries of a map have no order.
        let sorted = |mut tensors: Vec<Tensor>| {
            tensors.sort_by(|one, other| one.name().cmp(other.name()));
            tensors
        };
        same(&sorted(inputs), &sorted(again))
    }))
}

/// A message `tensorflow.serving.PredictRequest` with these inputs.
///
/// # Errors
/// Why it cannot be written.
pub fn grpc_tfs_request(inputs: &[Tensor]) -> Result<Vec<u8>, String> {
    grpc::encode_tfs(inputs)
}

/// The message `tensorflow.serving.ClassificationRequest` for a model of this signature; none when it is refused.
#[must_use]
pub fn grpc_tfs_examples(message: &[u8], signature: &Signature) -> Option<Accepted> {
    let inputs = grpc::decode_tfs_examples(message, signature)?;
    Some(Accepted::new(move || one_row_an_example(&inputs)))
}

/// Examples are read but never written, so all that can be said is that their tensors fit each other.
fn one_row_an_example(inputs: &[Tensor]) -> Result<(), String> {
    match inputs.iter().find(|input| input.rows() != inputs[0].rows()) {
        None => Ok(()),
        Some(other) => Err(format!("{:?} has other rows than {:?}", other, inputs[0])),
    }
}

fn same(one: &[Tensor], other: &[Tensor]) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    let different = one.iter().zip(other).find(|(one, other)| one != other);
    Err(different.map_or_else(
        || format!("{} inputs came and {} go out", one.len(), other.len()),
        |(one, other)| format!("{one:?} came and {other:?} goes out"),
    ))
}
