//! Every datatype through the whole server and back, by a model that answers what it is asked.

use contract::{
    AlignedBuffer, Axis, Cost, DataType, Device, DeviceKind, InputError, Invariance, MemoryUse, Model, Replica,
    RowBlock, RunError, Signature, Strings, Tensor, TensorSpec, Ticket,
};
use engine::serve::ServingSettings;

use crate::harness::{
    Api,
    inference::{InferTensorContents, ModelInferRequest, model_infer_request::InferInputTensor},
    output,
};

/// Bytes of a row: one for the length of the element, the rest for the element.
const ROW: usize = 16;

/// Answers its input, of any datatype, in the output that is named after the datatype.
pub(crate) struct EchoModel {
    signature: Signature,
}

impl Default for EchoModel {
    fn default() -> Self {
        let specs: Vec<TensorSpec> = DataType::ALL
            .iter()
            .map(|datatype| TensorSpec {
                name: datatype.name().to_owned(),
                datatype: *datatype,
                shape: vec![Axis::Batch],
            })
            .collect();
        Self { signature: Signature { inputs: specs.clone(), outputs: specs, columns: Vec::new(), task: None } }
    }
}

impl Model for EchoModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn invariance(&self) -> Invariance {
        Invariance::Exact
    }

    fn buckets(&self, _device: DeviceKind) -> &[usize] {
        &[64]
    }

    fn encode(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<Cost, InputError> {
        let [input] = inputs else { return Err(InputError::NoRows) };
        rows.reset(ROW);
        for index in 0..input.len() {
            let element = match (input.strings(), input.datatype().size()) {
                (Some(strings), _) => strings.get(index).unwrap(),
                (None, Some(size)) => &input.bytes().unwrap()[index * size..(index + 1) * size],
                (None, None) => panic!("neither strings nor numbers"),
            };
            let mut row = [0; ROW];
            row[0] = u8::try_from(element.len()).unwrap();
            row[1..=element.len()].copy_from_slice(element);
            rows.data_mut().extend_from_slice(&row);
        }
        Ok(Cost { rows: input.len(), class: 0 })
    }

    fn decode(&self, raw: &RowBlock, wanted: &[String]) -> Result<Vec<Tensor>, InputError> {
        let datatype: DataType = wanted[0].parse().unwrap();
        let elements = raw.data().bytes().chunks_exact(ROW).map(|row| &row[1..=usize::from(row[0])]);
        let shape = vec![raw.rows()];
        let tensor = if datatype == DataType::Bytes {
            Tensor::from_strings(datatype.name(), shape, elements.collect::<Strings>())
        } else {
            let bytes = elements.collect::<Vec<_>>().concat();
            Tensor::from_buffer(datatype.name(), datatype, shape, AlignedBuffer::from_slice(&bytes))
        };
        Ok(vec![tensor?])
    }

    fn place(&self, _device: &Device) -> Result<Box<dyn Replica>, RunError> {
        Ok(Box::new(EchoReplica::default()))
    }
}

#[derive(Default)]
struct EchoReplica {
    batches: Vec<RowBlock>,
}

impl Replica for EchoReplica {
    fn warm(&mut self, _bucket: usize) -> Result<(), RunError> {
        Ok(())
    }

    fn submit(&mut self, batch: &RowBlock, _bucket: usize) -> Result<Ticket, RunError> {
        self.batches.push(batch.clone());
        Ok(Ticket(self.batches.len() as u64 - 1))
    }

    fn collect(&mut self, ticket: Ticket, out: &mut RowBlock) -> Result<(), RunError> {
        *out = self.batches[usize::try_from(ticket.0).unwrap()].clone();
        Ok(())
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse::default()
    }
}

/// Three elements at the ends of each datatype's range: their bytes, and their contents.
fn elements(datatype: DataType) -> (Vec<Vec<u8>>, Option<InferTensorContents>) {
    macro_rules! numbers {
        ($field:ident, $($value:expr),*) => {{
            let contents = InferTensorContents { $field: vec![$($value.into()),*], ..InferTensorContents::default() };
            (vec![$($value.to_le_bytes().to_vec()),*], Some(contents))
        }};
    }
    match datatype {
        DataType::Bool => {
            let contents =
                InferTensorContents { bool_contents: vec![true, false, true], ..InferTensorContents::default() };
            (vec![vec![1], vec![0], vec![1]], Some(contents))
        }
        DataType::Uint8 => numbers!(uint_contents, u8::MIN, 7_u8, u8::MAX),
        DataType::Uint16 => numbers!(uint_contents, u16::MIN, 7_u16, u16::MAX),
        DataType::Uint32 => numbers!(uint_contents, u32::MIN, 7_u32, u32::MAX),
        DataType::Uint64 => numbers!(uint64_contents, u64::MIN, 7_u64, u64::MAX),
        DataType::Int8 => numbers!(int_contents, i8::MIN, -7_i8, i8::MAX),
        DataType::Int16 => numbers!(int_contents, i16::MIN, -7_i16, i16::MAX),
        DataType::Int32 => numbers!(int_contents, i32::MIN, -7_i32, i32::MAX),
        DataType::Int64 => numbers!(int64_contents, i64::MIN, -7_i64, i64::MAX),
        DataType::Fp32 => numbers!(fp32_contents, f32::MIN, f32::NEG_INFINITY, f32::MIN_POSITIVE),
        DataType::Fp64 => numbers!(fp64_contents, f64::MIN, f64::NEG_INFINITY, f64::MIN_POSITIVE),
        DataType::Fp16 | DataType::Bf16 => (vec![vec![0, 0x3c], vec![0x80, 0xbf], vec![0xff, 0x7f]], None),
        DataType::Bytes => {
            let texts = vec![b"abc".to_vec(), Vec::new(), vec![0xff, 0, 0x80]];
            (texts.clone(), Some(InferTensorContents { bytes_contents: texts, ..InferTensorContents::default() }))
        }
    }
}

fn raw_bytes(datatype: DataType, elements: &[Vec<u8>]) -> Vec<u8> {
    let prefixed =
        |element: &Vec<u8>| [&u32::try_from(element.len()).unwrap().to_le_bytes(), element.as_slice()].concat();
    match datatype.size() {
        Some(_) => elements.concat(),
        None => elements.iter().flat_map(prefixed).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_datatype_comes_back_as_it_went() {
    // Each answer is computed: the cache would give the raw request what the typed one gave.
    let api = Api::empty(&[], ServingSettings { cache_bytes: 0, ..ServingSettings::default() }).await;
    api.publish_echo().await;
    let mut client = api.client().await;
    for datatype in DataType::ALL {
        let (elements, contents) = elements(datatype);
        let name = datatype.name();
        let input = InferInputTensor {
            name: name.to_owned(),
            datatype: name.to_owned(),
            shape: vec![3],
            ..InferInputTensor::default()
        };
        let request = ModelInferRequest {
            model_name: "echo".to_owned(),
            inputs: vec![input],
            outputs: vec![output(name)],
            ..ModelInferRequest::default()
        };

        let mut raw = request.clone();
        raw.raw_input_contents = vec![raw_bytes(datatype, &elements)];
        let answer =
            client.model_infer(raw.clone()).await.unwrap_or_else(|status| panic!("{name}: {status}")).into_inner();
        assert_eq!(answer.raw_output_contents, raw.raw_input_contents, "{name}");
        let [output] = answer.outputs.as_slice() else { panic!("{name}: {answer:?}") };
        assert_eq!((output.datatype.as_str(), output.shape.as_slice()), (name, [3].as_slice()));

        let mut typed = request;
        typed.inputs[0].contents = contents.clone();
        match (client.model_infer(typed).await, contents) {
            (Ok(answer), Some(contents)) => {
                let answer = answer.into_inner();
                assert_eq!(answer.outputs[0].contents.as_ref(), Some(&contents), "{name}");
                assert!(answer.raw_output_contents.is_empty());
            }
            (Err(status), None) => assert!(status.message().contains("contents cannot hold them"), "{status}"),
            (answer, _) => panic!("{name}: {answer:?}"),
        }
    }
    api.stop().await;
}
