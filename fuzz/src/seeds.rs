//! Inputs to start from: requests with tensors of every datatype, in every form; and model files.

pub(crate) mod trees;

use contract::{AlignedBuffer, Axis, ColumnKind, ColumnSpec, DataType, Signature, Strings, Tensor, TensorSpec};
use server::{fuzzing, wire::TfsForm};

/// A tensor of each datatype, of two rows and three columns, whose elements are far apart.
fn tensors() -> Vec<Tensor> {
    DataType::ALL.into_iter().filter_map(tensor).collect()
}

fn tensor(datatype: DataType) -> Option<Tensor> {
    let shape = vec![2, 3];
    let tensor = match datatype {
        DataType::Bytes => {
            let texts: [&[u8]; 6] = [b"", b"a", "ä€😀".as_bytes(), b"\0\"\\\n", b"\xff\xfe", &[b'x'; 40]];
            Tensor::from_strings("x", shape, texts.iter().collect::<Strings>())
        }
        DataType::Bool => Tensor::from_bools("x", shape, &[true, false, false, true, true, false]),
        _ => {
            let patterns: [u8; 6] = [0, 1, 0x3f, 0x7f, 0x80, 0xff];
            let bytes: Vec<u8> =
                patterns.iter().flat_map(|byte| std::iter::repeat_n(*byte, datatype.size().unwrap_or(1))).collect();
            Tensor::from_buffer("x", datatype, shape, AlignedBuffer::from_slice(&bytes))
        }
    };
    tensor.ok()
}

/// A message for each datatype and form, and one with all of them.
pub(crate) fn grpc_requests() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<Tensor>> = tensors().into_iter().map(|tensor| vec![tensor]).collect();
    all.push(tensors());
    let message = |inputs: &Vec<Tensor>, raw| fuzzing::grpc_request(inputs, raw).ok().flatten();
    all.iter().flat_map(|inputs| [message(inputs, false), message(inputs, true)]).flatten().collect()
}

/// Datatype, shape and bytes in the form of the target `raw_tensor`.
pub(crate) fn raw_tensors() -> Vec<Vec<u8>> {
    let number = |datatype: DataType| DataType::ALL.iter().position(|other| *other == datatype).unwrap_or(0) as u8;
    let raw = |tensor: &Tensor| match tensor.strings() {
        Some(strings) => {
            strings.iter().flat_map(|text| [&(text.len() as u32).to_le_bytes(), text].concat()).collect::<Vec<u8>>()
        }
        None => tensor.bytes().unwrap_or_default().to_vec(),
    };
    let input = |tensor: Tensor| [&[number(tensor.datatype()), 2, 2, 3], raw(&tensor).as_slice()].concat();
    tensors().into_iter().map(input).collect()
}

/// Bodies as clients send them, and bodies at the edge of what is allowed.
pub(crate) fn json_requests() -> Vec<Vec<u8>> {
    let numbers = |datatype: &str, data: &str| {
        format!(r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[2,2],"data":[{data}]}}]}}"#)
    };
    let mut bodies = vec![
        numbers("BOOL", "true,false,0,1"),
        numbers("UINT8", "0,255,7,null"),
        numbers("UINT16", "0,65535,1,2"),
        numbers("UINT32", "0,4294967295,1,2"),
        numbers("UINT64", "0,18446744073709551615,9007199254740993,2"),
        numbers("INT8", "-128,127,[1],2"),
        numbers("INT16", "-32768,32767,1,2"),
        numbers("INT32", "-2147483648,2147483647,1e2,2.0"),
        numbers("INT64", "-9223372036854775808,9223372036854775807,[1,2]"),
        numbers("FP32", "3.4028235e38,-1e-45,NaN,-Infinity"),
        numbers("FP64", "[1.7976931348623157e308,-5e-324],[NaN,null]"),
        numbers("FP16", "1,2,3,4"),
        numbers("BYTES", r#""","a\u00e4\ud83d\ude00\n","\"\\",null"#),
    ];
    for body in [
        r#"{"id":"7","parameters":{"priority":1,"timeout":500000,"mine":{"a":[1,2]}},"inputs":[],"outputs":[{"name":"y"}]}"#,
        r#"{"inputs":[{"data":[[1],[2]],"shape":[2,1],"name":"x","datatype":"FP32"}],"id":"later"}"#,
        r#"{"inputs":[{"name":"x","shape":[2,3],"datatype":"FP32","parameters":{"binary_data_size":24}}]}"#,
        r#"{"inputs":[{"name":"","shape":[],"datatype":"INT8","data":[3]},{"name":"","shape":[0],"datatype":"FP32","data":[]}]}"#,
        r#" { "unknown" : [ null , { } , "\u0000" ] , "inputs" : [ ] } "#,
        r#"{"outputs":[{"name":"y","parameters":{"classification":2,"binary_data":false}},{"name":"z"}],"inputs":[]}"#,
    ] {
        bodies.push(body.to_owned());
    }
    bodies.into_iter().map(String::into_bytes).collect()
}

/// The length of the JSON, the JSON, and the tensors of every datatype behind it.
pub(crate) fn binary_requests() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<Tensor>> = tensors().into_iter().map(|tensor| vec![tensor]).collect();
    all.push(tensors());
    let body = |inputs: &Vec<Tensor>| {
        let (body, json) = fuzzing::http_request(inputs, true).ok()??;
        Some([&u16::try_from(json?).ok()?.to_le_bytes(), body.as_slice()].concat())
    };
    all.iter().filter_map(body).collect()
}

/// The models that TensorFlow Serving's requests are for: one input, several, and a table.
pub(crate) fn signatures() -> Vec<Signature> {
    let spec = |name: &str, datatype, row: &[usize]| {
        let shape = std::iter::once(Axis::Batch).chain(row.iter().map(|size| Axis::Fixed(*size))).collect();
        TensorSpec { name: name.to_owned(), datatype, shape }
    };
    let of = |inputs| Signature { inputs, outputs: Vec::new(), columns: Vec::new(), task: None };
    let column = |name: &str, kind| ColumnSpec { name: name.to_owned(), kind };
    let table =
        vec![column("a", ColumnKind::Numeric), column("b", ColumnKind::Categorical), column("c", ColumnKind::Date)];
    let inputs = table.iter().map(|column| match column.kind {
        ColumnKind::Numeric => spec(&column.name, DataType::Fp32, &[1]),
        _ => spec(&column.name, DataType::Bytes, &[1]),
    });
    let table = Signature { columns: table.clone(), ..of(inputs.collect()) };
    // Strings that are no text go out as base64 under names that end so.
    let name = |datatype: DataType| match datatype {
        DataType::Bytes => "x_bytes".to_owned(),
        other => other.name().to_lowercase(),
    };
    let every = DataType::ALL.map(|datatype| spec(&name(datatype), datatype, &[2]));
    vec![
        of(vec![spec("x", DataType::Fp32, &[3])]),
        of(vec![spec("x_bytes", DataType::Bytes, &[])]),
        of(vec![spec("x", DataType::Int64, &[2, 2])]),
        of(every.to_vec()),
        table,
    ]
}

/// Bodies of `:predict`, the number of the signature first.
pub(crate) fn tfs_requests() -> Vec<Vec<u8>> {
    let bodies: [(u8, &str); 11] = [
        (0, r#"{"instances":[[1,2.5,-3],[NaN,null,1e38]]}"#),
        (0, r#"{"signature_name":"serving_default","inputs":[[1,2,3]]}"#),
        (0, r#"{"inputs":{"x":[[1,2,3]]},"unknown":[{}]}"#),
        (0, r#"{"instances":[{"x":[1,2,3]},{"x":[4,5,6]}]}"#),
        (1, r#"{"instances":["a",{"b64":"//4="},""]}"#),
        (1, r#"{"inputs":[{"b64":""},"ä"]}"#),
        (2, r#"{"instances":[[[1,2],[3,4]],[[-9223372036854775808,9223372036854775807],[0,1]]]}"#),
        (4, r#"{"instances":[{"a":1,"b":"x","c":"2024-01-01"},{"a":null,"b":"y","c":"2024-01-02"}]}"#),
        (4, r#"{"inputs":{"c":[["2024-01-01"]],"a":[[1.5]],"b":["x"]}}"#),
        (4, r#"{"inputs":{"a":[1,2],"b":["x","y"],"c":[null,"z"]}}"#),
        (0, r#"{"instances":[]}"#),
    ];
    let mut all: Vec<Vec<u8>> = bodies.iter().map(|(number, body)| [&[*number], body.as_bytes()].concat()).collect();
    for form in [TfsForm::Row, TfsForm::Columnar] {
        let body = fuzzing::tfs_request(form, &named_tensors());
        all.extend(body.ok().map(|body| [&[3], body.as_slice()].concat()));
    }
    all
}

/// A tensor of one row and two columns for each input of the signature of all datatypes that JSON has.
fn named_tensors() -> Vec<Tensor> {
    let every = signatures().swap_remove(3).inputs;
    let tensor = |spec: &TensorSpec| match spec.datatype.size() {
        Some(size) => {
            let zeros = AlignedBuffer::from_slice(&vec![0_u8; 2 * size]);
            Tensor::from_buffer(&spec.name, spec.datatype, vec![1, 2], zeros).ok()
        }
        None => {
            Tensor::from_strings(&spec.name, vec![1, 2], [b"\xff".as_slice(), b"a"].iter().collect::<Strings>()).ok()
        }
    };
    every.iter().filter_map(tensor).collect()
}

/// Bodies of `:classify`, the number of the signature first.
pub(crate) fn tfs_examples() -> Vec<Vec<u8>> {
    let bodies: [(u8, &str); 10] = [
        (0, r#"{"examples":[{"x":[1,2,3]},{"x":[4,5,6]}]}"#),
        (1, r#"{"examples":[{"x_bytes":"a"},{"x_bytes":{"b64":"/w=="}}]}"#),
        (2, r#"{"signature_name":"","examples":[{"x":[1,2,3,4]}]}"#),
        (4, r#"{"context":{"c":"2024-01-01"},"examples":[{"a":1,"b":"x"},{"a":2.5,"b":"y"}]}"#),
        (4, r#"{"context":{"b":"x","c":"2024-01-01"},"examples":[{"a":1},{"a":2},{"a":3}]}"#),
        (4, r#"{"examples":[{"a":[],"b":[],"c":[]}]}"#),
        (4, r#"{"examples":[{"a":1,"b":7,"c":"z"},{"a":true,"b":false,"c":""}]}"#),
        (0, r#"{"context":{"x":[1,2,3]},"examples":[{},{},{}]}"#),
        (4, r#"{"context":{},"examples":[{"a":1,"b":"x","c":"y"}],"unknown":[]}"#),
        (0, r#"{"examples":[{"x":[1e38,-1e-45,NaN]}]}"#),
    ];
    bodies.iter().map(|(number, body)| [&[*number], body.as_bytes()].concat()).collect()
}

/// Messages of `Predict`.
pub(crate) fn grpc_tfs_requests() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = tensors()
        .into_iter()
        .chain(named_tensors())
        .filter_map(|tensor| fuzzing::grpc_tfs_request(&[tensor]).ok())
        .collect();
    all.extend(fuzzing::grpc_tfs_request(&named_tensors()));
    // One value that fills a shape of four.
    let shape = field(2, &[field(2, &[8, 4])].concat());
    let filled = [vec![8, 1], shape, field(5, &1.5_f32.to_le_bytes())].concat();
    let entry = [field(1, b"x"), field(2, &filled)].concat();
    all.push([field(1, &field(1, b"model")), field(2, &entry)].concat());
    all
}

/// Messages of `Classify`, the number of the signature first.
pub(crate) fn grpc_tfs_examples() -> Vec<Vec<u8>> {
    let floats = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        field(2, &field(1, &bytes))
    };
    let texts = |texts: &[&[u8]]| field(1, &texts.iter().flat_map(|text| field(1, text)).collect::<Vec<u8>>());
    let integers = |values: &[u8]| field(3, &field(1, values));
    let feature = |name: &str, value: &[u8]| field(1, &[field(1, name.as_bytes()), field(2, value)].concat());
    let example = |features: &[Vec<u8>]| field(1, &features.concat());
    let request = |number: u8, kind: u32, list: &[u8]| {
        [vec![number], field(1, &field(1, b"model")), field(2, &field(kind, list))].concat()
    };
    let x = example(&[feature("x", &floats(&[1.0, f32::NAN, -0.0]))]);
    let whole = example(&[feature("x", &integers(&[1, 2, 3, 4]))]);
    let row = |a: f32, b: &[u8]| example(&[feature("a", &floats(&[a])), feature("b", &texts(&[b]))]);
    let all = |a: f32, b: &[u8]| {
        example(&[feature("a", &floats(&[a])), feature("b", &texts(&[b])), feature("c", &texts(&[b"2024-01-01"]))])
    };
    let context = field(2, &example(&[feature("c", &texts(&[b"2024-01-01"]))]));
    let text = example(&[feature("x_bytes", &texts(&[b"\xff"]))]);
    vec![
        request(0, 1, &field(1, &x)),
        request(0, 1, &[field(1, &x), field(1, &x)].concat()),
        request(1, 1, &field(1, &text)),
        request(1, 1, &[field(1, &text), field(1, &text), field(1, &text)].concat()),
        request(2, 1, &field(1, &whole)),
        request(2, 1, &[field(1, &whole), field(1, &whole)].concat()),
        request(4, 2, &[field(1, &row(1.0, b"x")), field(1, &row(2.0, b"")), context.clone()].concat()),
        request(4, 2, &[context, field(1, &row(1.0, b"y"))].concat()),
        request(4, 1, &[field(1, &all(1.0, b"x")), field(1, &all(-1.0, b"y"))].concat()),
        request(4, 1, &field(1, &all(f32::INFINITY, b""))),
        request(4, 1, &[]),
    ]
}

/// A field of a protobuf message that has a length, of less than 128 bytes.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let head = [(number << 3 | 2) as u8, u8::try_from(content.len()).unwrap_or(0)];
    [&head, content].concat()
}
