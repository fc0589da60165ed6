//! The wire forms by themselves, against a client's generated messages.

use std::{collections::HashMap, sync::Arc};

use contract::{AlignedBuffer, DataType, Strings, Tensor};
use engine::{
    serve::{CacheStatus, Prediction, PredictionId, Timing},
    testing::FakeModel,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use prost::Message;

use self::standard::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
    infer_parameter::ParameterChoice,
    model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    model_infer_response::InferOutputTensor,
};
use super::{
    request::{InferInput, InferMessage},
    response::infer_response,
};
use crate::wire::{NoRegions, Span, WantedOutput, place_outputs, raw};

mod parameters;

/// The messages as any client has them.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::enum_variant_names,
    clippy::pedantic,
    reason = "generated code has habits of its own"
)]
mod standard {
    include!(concat!(env!("OUT_DIR"), "/client/inference.rs"));
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let datatype = proptest::sample::select(DataType::ALL.as_slice());
    (datatype, vec(0_usize..4, 0..4), "[a-zä]{0,3}").prop_flat_map(|(datatype, shape, name)| {
        let count: usize = shape.iter().product();
        let width = datatype.size().unwrap_or(3);
        vec(vec(any::<u8>(), width), count).prop_map(move |elements| match datatype {
            DataType::Bytes => {
                // Of different lengths.
                let strings: Strings = elements.iter().map(|element| &element[..usize::from(element[0] % 4)]).collect();
                Tensor::from_strings(&name, shape.clone(), strings).unwrap()
            }
            DataType::Bool => {
                let values: Vec<bool> = elements.iter().map(|element| element[0] % 2 == 1).collect();
                Tensor::from_bools(&name, shape.clone(), &values).unwrap()
            }
            _ => {
                let buffer = AlignedBuffer::from_slice(&elements.concat());
                Tensor::from_buffer(&name, datatype, shape.clone(), buffer).unwrap()
            }
        })
    })
}

fn has_contents(tensor: &Tensor) -> bool {
    !matches!(tensor.datatype(), DataType::Fp16 | DataType::Bf16)
}

/// Typed contents as a client fills them.
fn contents(tensor: &Tensor) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    match tensor.datatype() {
        DataType::Bool => contents.bool_contents = tensor.bytes().unwrap().iter().map(|byte| *byte == 1).collect(),
        DataType::Int8 => {
            contents.int_contents = tensor.values::<i8>().unwrap().iter().map(|v| i32::from(*v)).collect();
        }
        DataType::Int16 => {
            contents.int_contents = tensor.values::<i16>().unwrap().iter().map(|v| i32::from(*v)).collect();
        }
        DataType::Int32 => contents.int_contents = tensor.values::<i32>().unwrap().to_vec(),
        DataType::Int64 => contents.int64_contents = tensor.values::<i64>().unwrap().to_vec(),
        DataType::Uint8 => {
            contents.uint_contents = tensor.values::<u8>().unwrap().iter().map(|v| u32::from(*v)).collect();
        }
        DataType::Uint16 => {
            contents.uint_contents = tensor.values::<u16>().unwrap().iter().map(|v| u32::from(*v)).collect();
        }
        DataType::Uint32 => contents.uint_contents = tensor.values::<u32>().unwrap().to_vec(),
        DataType::Uint64 => contents.uint64_contents = tensor.values::<u64>().unwrap().to_vec(),
        DataType::Fp32 => contents.fp32_contents = tensor.values::<f32>().unwrap().to_vec(),
        DataType::Fp64 => contents.fp64_contents = tensor.values::<f64>().unwrap().to_vec(),
        DataType::Bytes => contents.bytes_contents = tensor.strings().unwrap().iter().map(<[u8]>::to_vec).collect(),
        DataType::Fp16 | DataType::Bf16 => panic!("no contents for {}", tensor.datatype()),
    }
    contents
}

/// Raw contents as a client fills them.
fn raw_bytes(tensor: &Tensor) -> Vec<u8> {
    match tensor.strings() {
        Some(strings) => {
            let one = |text: &[u8]| [&u32::try_from(text.len()).unwrap().to_le_bytes(), text].concat();
            strings.iter().flat_map(one).collect()
        }
        None => tensor.bytes().unwrap().to_vec(),
    }
}

fn input(tensor: &Tensor) -> InferInputTensor {
    InferInputTensor {
        name: tensor.name().to_owned(),
        datatype: tensor.datatype().name().to_owned(),
        shape: tensor.shape().iter().map(|size| i64::try_from(*size).unwrap()).collect(),
        ..InferInputTensor::default()
    }
}

fn request(tensors: &[Tensor], raw: bool) -> ModelInferRequest {
    let mut request = ModelInferRequest {
        model_name: "m".to_owned(),
        model_version: "3".to_owned(),
        id: "äb".to_owned(),
        inputs: tensors.iter().map(input).collect(),
        ..ModelInferRequest::default()
    };
    if raw {
        request.raw_input_contents = tensors.iter().map(raw_bytes).collect();
    } else {
        for (input, tensor) in request.inputs.iter_mut().zip(tensors) {
            input.contents = Some(contents(tensor));
        }
    }
    request
}

fn read(request: &ModelInferRequest) -> Result<InferMessage, String> {
    InferMessage::decode(&request.encode_to_vec()).map_err(|error| error.to_string())
}

fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

fn prediction(outputs: Vec<Tensor>) -> Prediction {
    let (id, model) = (PredictionId::fresh(), Arc::from("m"));
    Prediction {
        id,
        model,
        version: 7,
        outputs: Arc::from(outputs),
        explanation: Vec::new(),
        rows: 1,
        cache: CacheStatus::Miss,
        host: Arc::new(FakeModel::with_offset(0.0)),
        timing: Timing::default(),
    }
}

/// What a client reads back from an answer.
fn tensor_of(
    output: &InferOutputTensor,
    raw: Option<&[u8]>,
) -> (String, String, Vec<i64>, InferTensorContents, Vec<u8>) {
    let contents = output.contents.clone().unwrap_or_default();
    (output.name.clone(), output.datatype.clone(), output.shape.clone(), contents, raw.unwrap_or_default().to_vec())
}

proptest! {
    #[test]
    fn raw_bytes_come_back_as_they_went(tensor in tensor()) {
        let outputs: Arc<[Tensor]> = Arc::from(vec![tensor.clone()]);
        let bytes = raw::encode(&outputs, 0).unwrap();
        prop_assert_eq!(&bytes, &raw_bytes(&tensor));
        let back = raw::decode(tensor.name(), tensor.datatype(), tensor.shape(), &bytes).unwrap();
        prop_assert_eq!(back, tensor);
    }

    #[test]
    fn requests_mean_the_same_raw_and_typed(tensors in vec(tensor(), 1..4)) {
        let got = read(&request(&tensors, true)).unwrap();
        prop_assert_eq!((&sent(&got.inputs), got.raw), (&tensors, true));
        let typed: Vec<Tensor> = tensors.into_iter().filter(has_contents).collect();
        let got = read(&request(&typed, false)).unwrap();
        prop_assert_eq!((&sent(&got.inputs), got.raw), (&typed, false));
        prop_assert_eq!((got.model.as_str(), got.version.as_str(), got.id.as_str()), ("m", "3", "äb"));
    }

    #[test]
    fn answers_are_what_clients_read(tensors in vec(tensor(), 0..4), raw: bool) {
        let prediction = prediction(tensors.clone());
        let placed = place_outputs(&prediction.outputs, &[], false, None).unwrap();
        let ours = infer_response("9".to_owned(), &prediction, &placed, raw).unwrap();
        let answer = ModelInferResponse::decode(ours.encode_to_vec().as_slice()).unwrap();
        let raw = raw || !tensors.iter().all(has_contents);
        prop_assert_eq!(answer.raw_output_contents.len(), if raw { tensors.len() } else { 0 });
        for (index, (output, tensor)) in answer.outputs.iter().zip(&tensors).enumerate() {
            let InferInputTensor { name, datatype, shape, .. } = input(tensor);
            let expected = if raw {
                (name, datatype, shape, InferTensorContents::default(), raw_bytes(tensor))
            } else {
                (name, datatype, shape, contents(tensor), Vec::new())
            };
            let got = tensor_of(output, answer.raw_output_contents.get(index).map(Vec::as_slice));
            // By bytes, because NaN is not equal to itself.
            prop_assert_eq!(got.3.encode_to_vec(), expected.3.encode_to_vec());
            prop_assert_eq!((got.0, got.1, got.2, got.4), (expected.0, expected.1, expected.2, expected.4));
        }
        prop_assert_eq!((answer.model_name, answer.model_version, answer.id), ("m".to_owned(), "7".to_owned(), "9".to_owned()));
    }

    /// And what is accepted of a damaged message, every other reader accepts too and reads the same.
    #[test]
    fn damaged_messages_are_refused_or_read_as_others_read_them(
        tensors in vec(tensor(), 0..3),
        raw: bool,
        damages in vec((any::<Index>(), any::<u8>(), 0_u8..4), 1..4),
    ) {
        let raw = raw || !tensors.iter().all(has_contents);
        let mut request = request(&tensors, raw);
        request.parameters.insert("timeout".to_owned(), parameter(ParameterChoice::Int64Param(5)));
        request.outputs.push(InferRequestedOutputTensor { name: "y".to_owned(), ..InferRequestedOutputTensor::default() });
        let mut message = request.encode_to_vec();
        for (place, byte, kind) in damages {
            if message.is_empty() {
                break;
            }
            let place = place.index(message.len());
            match kind {
                0 => message[place] = byte,
                1 => message.truncate(place),
                2 => message.insert(place, byte),
                _ => drop(message.remove(place)),
            }
        }
        agrees_with_others(&message)?;
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read_as_others_read_them(message in vec(any::<u8>(), 0..200)) {
        agrees_with_others(&message)?;
    }
}

/// The inputs that came with a request; none may be in shared memory.
fn sent(inputs: &[InferInput]) -> Vec<Tensor> {
    inputs.iter().map(|input| input.clone().read(&NoRegions).unwrap()).collect()
}

fn agrees_with_others(message: &[u8]) -> Result<(), TestCaseError> {
    let Ok(ours) = InferMessage::decode(message) else { return Ok(()) };
    let other = ModelInferRequest::decode(message).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!((ours.model, ours.version, ours.id), (other.model_name, other.model_version, other.id));
    let names = other.outputs.into_iter().map(|output| output.name).collect::<Vec<_>>();
    prop_assert_eq!(ours.outputs.into_iter().map(|output| output.name).collect::<Vec<_>>(), names);
    let raws = other.raw_input_contents;
    prop_assert_eq!((ours.inputs.len(), ours.raw), (other.inputs.len(), !raws.is_empty()));
    for (index, (tensor, other)) in sent(&ours.inputs).iter().zip(&other.inputs).enumerate() {
        let same = input(tensor);
        prop_assert_eq!((&same.name, &same.datatype, &same.shape), (&other.name, &other.datatype, &other.shape));
        if let Some(raw) = raws.get(index) {
            prop_assert_eq!(&raw_bytes(tensor), raw);
        } else {
            let other = other.contents.clone().unwrap_or_default();
            prop_assert_eq!(contents(tensor).encode_to_vec(), other.encode_to_vec());
        }
    }
    Ok(())
}

fn floats(name: &str, shape: &[i64], values: &[f32]) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: shape.to_vec(),
        contents: Some(InferTensorContents { fp32_contents: values.to_vec(), ..InferTensorContents::default() }),
        ..InferInputTensor::default()
    }
}

fn refusal(inputs: Vec<InferInputTensor>, raw_input_contents: Vec<Vec<u8>>) -> String {
    read(&ModelInferRequest { inputs, raw_input_contents, ..ModelInferRequest::default() }).unwrap_err()
}

fn without_contents(datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor { datatype: datatype.to_owned(), contents: None, ..floats("x", shape, &[]) }
}

#[test]
fn what_is_said_is_compared_with_what_came() {
    assert_eq!(
        refusal(vec![floats("x", &[2, 2], &[1.0])], vec![]),
        "input 'x' has shape [2, 2], which asks for 4 elements, but 1 were sent"
    );
    assert_eq!(
        refusal(vec![without_contents("FP32", &[2])], vec![vec![0; 5]]),
        "input 'x' has shape [2] and datatype FP32, which asks for 8 bytes, but 5 were sent"
    );
    let huge = [i64::MAX, i64::MAX];
    assert_eq!(
        refusal(vec![without_contents("FP64", &huge)], vec![vec![0; 8]]),
        format!(
            "input 'x' has shape {huge:?} and datatype FP64, which asks for more bytes than there can be, but 8 were sent"
        )
    );
    // A terabyte that nobody sent.
    assert!(
        refusal(vec![floats("x", &[1 << 38], &[1.0])], vec![])
            .contains("asks for 274877906944 elements, but 1 were sent")
    );
    assert!(
        refusal(vec![floats("x", &[-1, 2], &[1.0])], vec![])
            .contains("expected a size of 0 or more in 'shape', got -1")
    );
    assert!(refusal(vec![floats("x", &[1; 65], &[1.0])], vec![]).contains("at most 64 axes"));
    assert_eq!(
        refusal(vec![without_contents("BYTES", &[1])], vec![vec![255, 255, 255, 255, b'a']]),
        "input 'x', element 0: expected a string of 4294967295 bytes, got 1 bytes"
    );
    assert_eq!(
        refusal(vec![without_contents("BYTES", &[2])], vec![vec![0, 0, 0, 0, 1, 0]]),
        "input 'x', element 1: expected a length of 4 bytes, got 2 bytes"
    );
    assert_eq!(
        refusal(vec![without_contents("BOOL", &[2])], vec![vec![1, 2]]),
        "input 'x', element 1: expected a byte of 0 or 1 as BOOL, got 2"
    );
}

#[test]
fn elements_come_in_one_place_that_fits() {
    let mut other = floats("x", &[1], &[]);
    other.contents = Some(InferTensorContents { int_contents: vec![1], ..InferTensorContents::default() });
    assert_eq!(
        refusal(vec![other], vec![]),
        "input 'x' has datatype FP32: expected its elements in fp32_contents, got int_contents"
    );
    assert_eq!(
        refusal(vec![floats("x", &[1], &[1.0])], vec![vec![0; 4]]),
        "input 'x': expected its elements in contents or in raw_input_contents, got both"
    );
    assert_eq!(
        refusal(vec![without_contents("FP32", &[1]); 2], vec![vec![0; 4]]),
        "expected as many raw_input_contents as inputs outside of shared memory, or none, got 1 with 2 inputs"
    );
    assert_eq!(
        refusal(vec![without_contents("BF16", &[1])], vec![]),
        "input 'x': expected BF16 elements in raw_input_contents, because contents cannot hold them"
    );
    let mut narrow = without_contents("INT8", &[2]);
    narrow.contents = Some(InferTensorContents { int_contents: vec![-128, 128], ..InferTensorContents::default() });
    assert_eq!(
        refusal(vec![narrow], vec![]),
        "input 'x', element 1: expected an integer within the range of INT8, got 128"
    );
    assert!(
        refusal(vec![without_contents("FP8", &[1])], vec![])
            .starts_with("input 'x': unknown datatype 'FP8'; expected one of BOOL,")
    );
}

fn named(parameters: &[(&str, ParameterChoice)]) -> HashMap<String, InferParameter> {
    parameters.iter().map(|(key, value)| ((*key).to_owned(), parameter(value.clone()))).collect()
}

fn region(size: i64) -> HashMap<String, InferParameter> {
    named(&[
        ("shared_memory_region", ParameterChoice::StringParam("r".to_owned())),
        ("shared_memory_byte_size", ParameterChoice::Int64Param(size)),
        ("shared_memory_offset", ParameterChoice::Uint64Param(4)),
    ])
}

#[test]
fn inputs_in_shared_memory_have_no_contents_of_their_own() {
    let shared = InferInputTensor { parameters: region(8), ..without_contents("FP32", &[1, 2]) };
    let request = ModelInferRequest {
        inputs: vec![shared.clone(), without_contents("FP32", &[1])],
        raw_input_contents: vec![7_f32.to_le_bytes().to_vec()],
        ..ModelInferRequest::default()
    };
    let read_back = read(&request).unwrap();
    let InferInput::Shared { name, datatype, shape, span } = &read_back.inputs[0] else { panic!("{read_back:?}") };
    assert_eq!((name.as_str(), *datatype, shape.as_slice()), ("x", DataType::Fp32, [1, 2].as_slice()));
    assert_eq!(*span, Span { region: "r".to_owned(), offset: 4, byte_size: 8 });
    assert_eq!(sent(&read_back.inputs[1..])[0].values::<f32>(), Some([7.].as_slice()));

    // Without any raw contents too, the answer is raw: clients of shared memory read nothing else.
    let alone = ModelInferRequest { inputs: vec![shared.clone()], ..ModelInferRequest::default() };
    assert!(read(&alone).unwrap().raw && read_back.raw);
    let too_many = ModelInferRequest { raw_input_contents: vec![vec![0; 4]; 2], ..request };
    assert!(read(&too_many).unwrap_err().ends_with("got 2 with 2 inputs"));
    let twice = InferInputTensor { parameters: region(4), ..floats("x", &[1], &[1.0]) };
    assert_eq!(
        refusal(vec![twice], vec![]),
        "input 'x': expected its elements in contents or in shared memory, got both"
    );
    let unsized_region = named(&[("shared_memory_region", ParameterChoice::StringParam("r".to_owned()))]);
    assert_eq!(
        refusal(vec![InferInputTensor { parameters: unsized_region, ..shared.clone() }], vec![]),
        "expected 'shared_memory_byte_size' beside 'shared_memory_region', got none"
    );
    assert_eq!(
        refusal(vec![InferInputTensor { parameters: region(-1), ..shared }], vec![]),
        "expected a whole number of bytes as 'shared_memory_byte_size', got -1"
    );
}

#[test]
fn outputs_say_how_they_are_wanted() {
    let output = |parameters| InferRequestedOutputTensor { name: "y".to_owned(), parameters };
    let wanted = |parameters| {
        let request = ModelInferRequest { outputs: vec![output(parameters)], ..ModelInferRequest::default() };
        read(&request).map(|request| request.outputs[0].clone())
    };
    let span = Span { region: "r".to_owned(), offset: 4, byte_size: 8 };
    let y = WantedOutput { name: "y".to_owned(), ..WantedOutput::default() };
    assert_eq!(wanted(region(8)), Ok(WantedOutput { shared: Some(span), ..y.clone() }));
    let classes = |count| named(&[("classification", ParameterChoice::Int64Param(count))]);
    assert_eq!(wanted(classes(3)), Ok(WantedOutput { classes: Some(3), ..y.clone() }));
    assert_eq!(wanted(classes(0)), Ok(y));
    assert_eq!(wanted(classes(-3)), Err("expected a whole number of classes as 'classification', got -3".to_owned()));
    let reserved = ModelInferRequest {
        parameters: named(&[("triton_final_response", ParameterChoice::BoolParam(true))]),
        ..ModelInferRequest::default()
    };
    assert_eq!(
        read(&reserved).unwrap_err(),
        "expected parameters without the reserved prefix 'triton_', got 'triton_final_response'"
    );
}

/// Raw contents stay aligned with outputs, as clients count on.
#[test]
fn outputs_elsewhere_leave_their_place_in_raw_contents_empty() {
    let tensors = ["a", "b", "c"].map(|name| Tensor::from_values(name, vec![1, 2], &[1.0_f32, 2.0]).unwrap());
    let prediction = prediction(tensors.to_vec());
    let span = Span { region: "r".to_owned(), offset: 4, byte_size: 8 };
    let want = |name: &str| WantedOutput { name: name.to_owned(), ..WantedOutput::default() };
    let wanted =
        [WantedOutput { shared: Some(span), ..want("a") }, WantedOutput { classes: Some(1), ..want("b") }, want("c")];
    let placed = place_outputs(&prediction.outputs, &wanted, false, None).unwrap();
    let response = infer_response(String::new(), &prediction, &placed, true).unwrap();
    let raw: Vec<&[u8]> = response.raw_output_contents.iter().map(AsRef::as_ref).collect();
    assert_eq!(raw, [&[][..], b"\x0a\0\0\x002.000000:1", &[0, 0, 128, 63, 0, 0, 0, 64]]);
    assert!(response.outputs[0].parameters.is_empty() && response.outputs[0].contents.is_none());
    assert_eq!(
        (response.outputs[1].datatype.as_str(), response.outputs[1].shape.as_slice()),
        ("BYTES", [1, 1].as_slice())
    );
    let typed = infer_response(String::new(), &prediction, &placed, false).unwrap();
    assert!(typed.outputs[0].contents.is_none() && typed.outputs[2].contents.is_some());
    assert!(typed.raw_output_contents.is_empty());
}

/// Two bytes on the wire must not become hundreds of ours.
#[test]
fn tensors_are_counted_before_they_are_made() {
    let inputs = [0x2a, 0x00].repeat(65_537);
    assert_eq!(InferMessage::decode(&inputs).unwrap_err().to_string(), "expected at most 65536 inputs, got more");
    let output = |number: usize| InferRequestedOutputTensor {
        name: number.to_string(),
        ..InferRequestedOutputTensor::default()
    };
    let request = ModelInferRequest { outputs: (0..65_537).map(output).collect(), ..ModelInferRequest::default() };
    assert_eq!(read(&request).unwrap_err(), "expected at most 65536 outputs, got more");
    let twice = ModelInferRequest { outputs: vec![output(1), output(1)], ..ModelInferRequest::default() };
    assert_eq!(read(&twice).unwrap_err(), "expected each output once, got '1' twice");
}

/// Any order of fields, and numbers one by one instead of packed, are as good: every writer may choose.
#[test]
fn fields_come_in_any_order_and_packed_or_not() {
    // contents { fp32_contents: 1.0, unpacked }, shape: 1 and 1, unpacked, datatype, name: all backwards.
    let one = [0x35, 0x00, 0x00, 0x80, 0x3f];
    let backwards = [&[0x2a, 5][..], &one, &[0x18, 1, 0x18, 1], &[0x12, 4], b"FP32", &[0x0a, 1], b"x"].concat();
    let message = [&[0x2a, u8::try_from(backwards.len()).unwrap()][..], &backwards, &[0x0a, 1], b"m"].concat();
    let request = InferMessage::decode(&message).unwrap();
    assert_eq!(sent(&request.inputs), [Tensor::from_values("x", vec![1, 1], &[1.0_f32]).unwrap()]);
    // Contents in two parts count as one.
    let two = [&backwards[..], &[0x18, 2], &[0x2a, 5], &one].concat();
    let message = [&[0x2a, u8::try_from(two.len()).unwrap()][..], &two].concat();
    let inputs = sent(&InferMessage::decode(&message).unwrap().inputs);
    assert_eq!(inputs[0].values::<f32>().unwrap(), [1.0, 1.0]);
}
