//! A model that answers its inputs, of any datatypes and shapes, under other names.

use contract::{
    AlignedBuffer, Axis, Cost, DataType, Device, DeviceKind, InputError, Invariance, MemoryUse, Model, Replica,
    RowBlock, RunError, Signature, Strings, Tensor, TensorSpec, Ticket,
};
use serde::{Deserialize, Serialize};

/// Bytes of a string in a row: one for its length, the rest for its bytes.
const STRING: usize = 64;

/// An input and the output that answers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Echoed {
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) datatype: DataType,
    /// Shape of a row.
    pub(crate) row: Vec<usize>,
}

impl Echoed {
    pub(crate) fn new(input: &str, output: &str, datatype: DataType, row: &[usize]) -> Self {
        Self { input: input.to_owned(), output: output.to_owned(), datatype, row: row.to_vec() }
    }

    fn elements(&self) -> usize {
        self.row.iter().product()
    }

    fn bytes(&self) -> usize {
        self.elements() * self.datatype.size().unwrap_or(STRING)
    }

    fn spec(&self, name: &str) -> TensorSpec {
        let shape = std::iter::once(Axis::Batch).chain(self.row.iter().copied().map(Axis::Fixed)).collect();
        TensorSpec { name: name.to_owned(), datatype: self.datatype, shape }
    }

    fn shape(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.row.iter().copied()).collect()
    }

    /// The bytes of row `row` of a tensor.
    fn encode(&self, tensor: &Tensor, row: usize) -> Vec<u8> {
        let elements = row * self.elements()..(row + 1) * self.elements();
        match (tensor.strings(), tensor.datatype().size()) {
            (Some(strings), _) => elements.flat_map(|index| padded(strings.get(index).unwrap())).collect(),
            (None, Some(size)) => tensor.bytes().unwrap()[elements.start * size..elements.end * size].to_vec(),
            (None, None) => panic!("neither strings nor numbers"),
        }
    }

    fn decode(&self, rows: usize, bytes: &[u8]) -> Tensor {
        if self.datatype == DataType::Bytes {
            let strings: Strings = bytes.chunks_exact(STRING).map(|text| &text[1..=usize::from(text[0])]).collect();
            return Tensor::from_strings(&self.output, self.shape(rows), strings).unwrap();
        }
        Tensor::from_buffer(&self.output, self.datatype, self.shape(rows), AlignedBuffer::from_slice(bytes)).unwrap()
    }
}

fn padded(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text);
    assert!(bytes.len() <= STRING);
    bytes.resize(STRING, 0);
    bytes
}

pub(crate) struct EchoModel {
    tensors: Vec<Echoed>,
    signature: Signature,
}

impl EchoModel {
    pub(crate) fn new(tensors: Vec<Echoed>) -> Self {
        let signature = Signature {
            inputs: tensors.iter().map(|tensor| tensor.spec(&tensor.input)).collect(),
            outputs: tensors.iter().map(|tensor| tensor.spec(&tensor.output)).collect(),
            columns: Vec::new(),
            task: None,
        };
        Self { tensors, signature }
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
        let find = |echoed: &Echoed| {
            let expected = self.signature.describe_inputs();
            let missing = || InputError::MissingInput { name: echoed.input.clone(), expected };
            inputs.iter().find(|input| input.name() == echoed.input).ok_or_else(missing)
        };
        let found: Vec<&Tensor> = self.tensors.iter().map(find).collect::<Result<_, _>>()?;
        let count = found[0].rows();
        for (echoed, tensor) in self.tensors.iter().zip(&found) {
            if tensor.datatype() != echoed.datatype {
                let (name, expected) = (echoed.input.clone(), echoed.datatype.to_string());
                return Err(InputError::WrongDatatype { name, expected, got: tensor.datatype() });
            }
            if tensor.shape() != echoed.shape(count) {
                let (name, expected) = (echoed.input.clone(), format!("{:?}", echoed.shape(count)));
                return Err(InputError::WrongShape { name, expected, got: tensor.shape().to_vec() });
            }
        }
        rows.reset(self.tensors.iter().map(Echoed::bytes).sum());
        for row in 0..count {
            for (echoed, tensor) in self.tensors.iter().zip(&found) {
                rows.data_mut().extend_from_slice(&echoed.encode(tensor, row));
            }
        }
        Ok(Cost { rows: count, class: 0 })
    }

    fn decode(&self, raw: &RowBlock, wanted: &[String]) -> Result<Vec<Tensor>, InputError> {
        let output = |index: usize| {
            let start: usize = self.tensors[..index].iter().map(Echoed::bytes).sum();
            let range = start..start + self.tensors[index].bytes();
            let rows = raw.data().bytes().chunks_exact(raw.row_bytes());
            let bytes: Vec<u8> = rows.flat_map(|row| row[range.clone()].to_vec()).collect();
            self.tensors[index].decode(raw.rows(), &bytes)
        };
        let place = |name: &String| self.tensors.iter().position(|tensor| tensor.output == *name).unwrap();
        if wanted.is_empty() {
            return Ok((0..self.tensors.len()).map(output).collect());
        }
        Ok(wanted.iter().map(|name| output(place(name))).collect())
    }

    fn place(&self, _device: &Device) -> Result<Box<dyn Replica>, RunError> {
        Ok(Box::new(EchoReplica::default()))
    }
}

/// Gives back the rows it gets.
#[derive(Default)]
pub(crate) struct EchoReplica {
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
