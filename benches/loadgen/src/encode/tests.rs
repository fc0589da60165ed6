use super::*;
use crate::signature::Input;

fn tensor(name: &str, datatype: DataType, shape: &[usize], bytes: Vec<u8>) -> RawTensor {
    let axes = shape.iter().map(|size| *size as i64).collect();
    RawTensor { input: Input { name: name.to_owned(), datatype, shape: axes }, shape: shape.to_vec(), bytes }
}

fn rows() -> Rows {
    let text = b"\x03\0\0\0a\"b\x01\0\0\0z".to_vec();
    Rows {
        tensors: vec![
            tensor("s", DataType::Bytes, &[2, 1], text),
            tensor("x", DataType::Fp32, &[2, 1], [1.5_f32, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).collect()),
            tensor("n", DataType::Int64, &[2, 1], [-1_i64, 7].iter().flat_map(|n| n.to_le_bytes()).collect()),
        ],
    }
}

fn target(protocol: Protocol) -> Target {
    let mut target = Target::parse("127.0.0.1:8000", Some(protocol), "m").unwrap();
    target.headers.push(("x-key".to_owned(), "secret".to_owned()));
    target
}

fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end..].to_vec())
}

const EXTRAS: Extras = Extras { timeout: Some(Duration::from_millis(20)), priority: Some(2), vary: true };

#[test]
fn json_requests_are_the_protocols() {
    let mut message = encode(&target(Protocol::HttpJson), &rows(), 2, EXTRAS).unwrap().bytes.to_vec();
    let (head, body) = split(&message);
    assert!(head.starts_with("POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    assert!(head.contains("\r\nx-key: secret\r\n"), "{head}");
    let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
    let expected = serde_json::json!({
        "parameters": { "timeout": 20_000, "priority": 2 },
        "inputs": [
            { "name": "s", "shape": [2, 1], "datatype": "BYTES", "data": ["a\"b", "z"] },
            { "name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1.0, null] },
            { "name": "n", "shape": [2, 1], "datatype": "INT64", "data": [-1, 7] },
        ],
    });
    let mut found = read(&body);
    assert_eq!(found["inputs"][1]["data"][0].as_f64(), Some(1.0));
    found["inputs"][1]["data"][0] = serde_json::json!(1.0);
    assert_eq!(found, expected);

    // Every number makes another request, and the same JSON but for its place.
    let patch = encode(&target(Protocol::HttpJson), &rows(), 2, EXTRAS).unwrap().patch.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for number in [1, 2, 3, (1 << 26) - 1, 12_345_678] {
        patch.apply(&mut message, number);
        let value = read(&split(&message).1)["inputs"][1]["data"][0].as_f64().unwrap();
        assert_eq!(value as f32, fp32(number));
        seen.insert((value as f32).to_bits());
    }
    assert_eq!(seen.len(), 5);
}

#[test]
fn binary_requests_have_their_tensors_behind_the_json() {
    let message = encode(&target(Protocol::HttpBinary), &rows(), 2, EXTRAS).unwrap();
    let mut bytes = message.bytes.to_vec();
    message.patch.unwrap().apply(&mut bytes, 5);
    let (head, body) = split(&bytes);
    let length = head.split("Inference-Header-Content-Length: ").nth(1).unwrap().split('\r').next().unwrap();
    let (json, raw) = body.split_at(length.parse().unwrap());
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!(json["parameters"]["binary_data_output"], true);
    let sizes: Vec<_> = (0..3).map(|input| json["inputs"][input]["parameters"]["binary_data_size"].as_u64()).collect();
    assert_eq!(sizes, [Some(12), Some(8), Some(16)]);
    assert_eq!(raw[12..16], fp32(5).to_le_bytes());
    assert_eq!(raw[20..28], (-1_i64).to_le_bytes());
}

#[test]
fn grpc_requests_have_raw_contents() {
    let message = encode(&target(Protocol::Grpc), &rows(), 2, EXTRAS).unwrap();
    let mut bytes = message.bytes.to_vec();
    message.patch.unwrap().apply(&mut bytes, 7);
    assert_eq!(bytes[..5], framed(&bytes[5..])[..5]);
    let request = ModelInferRequest::decode(&bytes[5..]).unwrap();
    assert_eq!(request.model_name, "m");
    assert_eq!(request.parameters["timeout"].value, Some(ParameterValue::Int64(20_000)));
    assert_eq!(request.parameters["priority"].value, Some(ParameterValue::Uint64(2)));
    assert_eq!(request.inputs[1].shape, [2, 1]);
    let rows = rows();
    assert_eq!(request.raw_input_contents[0], rows.tensors[0].bytes);
    assert_eq!(request.raw_input_contents[1][..4], fp32(7).to_le_bytes());
    assert_eq!(request.raw_input_contents[2], rows.tensors[2].bytes);
}

#[test]
fn half_floats_cannot_travel_in_json() {
    let rows = Rows { tensors: vec![tensor("h", DataType::Fp16, &[1], vec![0, 0])] };
    assert!(!can_vary(&rows));
    let complaint = encode(&target(Protocol::HttpJson), &rows, 1, Extras::default()).unwrap_err().to_string();
    assert!(complaint.contains("input 'h' is FP16"), "{complaint}");
    assert!(encode(&target(Protocol::Grpc), &rows, 1, Extras::default()).is_ok());
}
