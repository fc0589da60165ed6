//! The host half: a request's tensors as rows, and the same rows as tensors again.
//!
//! Rows have one width, strings have not, and to pad each row to the longest would let a small request ask for much memory.
//! So a request's tensors are written one behind the other, strings behind the list of their lengths, and this run of bytes
//! is cut into as many rows of one width as the request has. Only the end of the last rows is padding.

use std::collections::BTreeSet;

use contract::{
    AlignedBuffer, Axis, Cost, DataType, Device, DeviceKind, InputError, Invariance, Model, Replica, RowBlock,
    RunError, Signature, Strings, Tensor, TensorSpec,
};

use super::replica::IdentityReplica;

/// Batches of these many rows; nothing is compiled for them, but the largest bounds a batch.
const BUCKETS: [usize; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// A string's length in the run of bytes.
type Length = u64;

/// What was expected and what came.
type Misfit = (String, String);

/// A model that answers with its inputs.
#[derive(Clone, Debug)]
pub struct Identity {
    signature: Signature,
    /// Elements a row of each tensor holds, in the order of the signature.
    widths: Vec<usize>,
}

impl Identity {
    /// An identity whose input and output number `i` hold the same elements.
    ///
    /// # Errors
    /// What was expected and what came, when there is no tensor, inputs and outputs differ in number, datatype or shape,
    /// a name is empty or used twice, or a shape is not the batch followed by sizes of 1 or more.
    pub fn new(signature: Signature) -> Result<Self, Misfit> {
        let Signature { inputs, outputs, columns, task } = &signature;
        if inputs.is_empty() {
            return Err(("at least one tensor".to_owned(), "none".to_owned()));
        }
        let same = |(input, output): (&TensorSpec, &TensorSpec)| {
            input.datatype == output.datatype && input.shape == output.shape
        };
        if inputs.len() != outputs.len()
            || !inputs.iter().zip(outputs).all(same)
            || !columns.is_empty()
            || task.is_some()
        {
            return Err(("outputs as the inputs".to_owned(), signature.describe_outputs()));
        }
        for specs in [inputs, outputs] {
            let mut names = BTreeSet::new();
            if let Some(spec) = specs.iter().find(|spec| spec.name.is_empty() || !names.insert(&spec.name)) {
                return Err(("a name of its own for each tensor".to_owned(), spec.to_string()));
            }
        }
        let width = |spec: &TensorSpec| {
            width(spec).ok_or_else(|| {
                ("a shape [-1, …] with sizes of 1 or more behind the batch".to_owned(), spec.to_string())
            })
        };
        let widths = inputs.iter().map(width).collect::<Result<_, _>>()?;
        Ok(Self { signature, widths })
    }

    /// The tensor of `inputs` for each input of the signature, in the signature's order, all of one number of rows.
    fn arrange<'a>(&self, inputs: &'a [Tensor]) -> Result<Vec<&'a Tensor>, InputError> {
        let specs = &self.signature.inputs;
        let mut sent: Vec<Option<&Tensor>> = vec![None; specs.len()];
        for (number, input) in inputs.iter().enumerate() {
            // Most requests send the inputs in order.
            let in_order = specs.get(number).filter(|spec| spec.name == input.name()).map(|_| number);
            let place = in_order.or_else(|| specs.iter().position(|spec| spec.name == input.name()));
            let Some(place) = place else {
                let expected = self.signature.describe_inputs();
                return Err(InputError::UnknownInput { name: input.name().to_owned(), expected });
            };
            fits(input, &specs[place])?;
            if sent[place].replace(input).is_some() {
                return Err(InputError::DuplicateInput { name: input.name().to_owned() });
            }
        }
        let missing =
            |spec: &TensorSpec| InputError::MissingInput { name: spec.name.clone(), expected: spec.to_string() };
        let tensors: Vec<&Tensor> =
            specs.iter().zip(sent).map(|(spec, sent)| sent.ok_or_else(|| missing(spec))).collect::<Result<_, _>>()?;
        if let Some((first, other)) =
            tensors.first().and_then(|first| Some((first, tensors.iter().find(|other| other.rows() != first.rows())?)))
        {
            let (expected, got) = (first.rows(), other.rows());
            let (name, other) = (other.name().to_owned(), first.name().to_owned());
            return Err(InputError::RowCount { name, other, expected, got });
        }
        Ok(tensors)
    }
}

/// Elements that a row of `spec` holds; none when its shape is not one of rows.
fn width(spec: &TensorSpec) -> Option<usize> {
    let (Axis::Batch, row) = spec.shape.split_first()? else { return None };
    row.iter().try_fold(1_usize, |width, axis| match axis {
        Axis::Fixed(size) if *size > 0 => width.checked_mul(*size),
        Axis::Fixed(_) | Axis::Batch | Axis::Dynamic { buckets: _ } => None,
    })
}

/// Refuses a tensor that is not of its specification, or lacks an element.
fn fits(input: &Tensor, spec: &TensorSpec) -> Result<(), InputError> {
    let name = || input.name().to_owned();
    if input.datatype() != spec.datatype {
        return Err(InputError::WrongDatatype {
            name: name(),
            expected: spec.datatype.to_string(),
            got: input.datatype(),
        });
    }
    let fits = |(axis, size): (&Axis, &usize)| matches!(axis, Axis::Batch) || *axis == Axis::Fixed(*size);
    if input.shape().len() != spec.shape.len() || !spec.shape.iter().zip(input.shape()).all(fits) {
        let expected = format!("{:?}", spec.oip_shape());
        return Err(InputError::WrongShape { name: name(), expected, got: input.shape().to_vec() });
    }
    if input.rows() == 0 {
        return Err(InputError::NoRows);
    }
    if let Some(missing) = input.validity().and_then(|_| (0..input.len()).find(|index| !input.is_valid(*index))) {
        let width = input.len() / input.rows();
        let column = format!("{}[{}]", input.name(), missing % width);
        let (expected, got) = (format!("a value of {}", spec.datatype), "null".to_owned());
        return Err(InputError::BadValue { row: missing / width, column, expected, got });
    }
    Ok(())
}

impl Model for Identity {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn invariance(&self) -> Invariance {
        Invariance::Exact
    }

    fn buckets(&self, _device: DeviceKind) -> &[usize] {
        &BUCKETS
    }

    /// The class is the width of the rows.
    fn encode(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<Cost, InputError> {
        let tensors = self.arrange(inputs)?;
        let count = tensors.first().map_or(0, |tensor| tensor.rows());
        let bytes: usize = tensors.iter().map(|tensor| run_bytes(tensor)).sum();
        let mut row_bytes = bytes.div_ceil(count.max(1));
        if tensors.iter().any(|tensor| tensor.strings().is_some()) {
            // Few widths, so that requests with strings of about one length meet in a batch.
            row_bytes = row_bytes.next_power_of_two();
        }
        rows.reset(row_bytes);
        *rows.data_mut() = AlignedBuffer::with_capacity(count * row_bytes);
        for tensor in tensors {
            write_run(tensor, rows.data_mut());
        }
        rows.data_mut().resize(count * row_bytes);
        Ok(Cost { rows: count, class: row_bytes })
    }

    fn decode(&self, raw: &RowBlock, wanted: &[String]) -> Result<Vec<Tensor>, InputError> {
        let outputs = &self.signature.outputs;
        let mut rest = raw.data().bytes();
        let mut runs = Vec::with_capacity(outputs.len());
        for (spec, width) in outputs.iter().zip(&self.widths) {
            let (run, behind) = split_run(rest, spec.datatype, raw.rows().saturating_mul(*width));
            runs.push((spec, run));
            rest = behind;
        }
        if wanted.is_empty() {
            return runs.into_iter().map(|(spec, run)| read_run(spec, raw.rows(), run)).collect();
        }
        let output = |name: &String| match runs.iter().find(|(spec, _run)| spec.name == *name) {
            Some((spec, run)) => read_run(spec, raw.rows(), *run),
            None => Err(InputError::UnknownOutput { name: name.clone(), expected: self.signature.describe_outputs() }),
        };
        wanted.iter().map(output).collect()
    }

    /// Any device will do: nothing is computed.
    fn place(&self, device: &Device) -> Result<Box<dyn Replica>, RunError> {
        Ok(Box::new(IdentityReplica::new(device)))
    }
}

/// A tensor's part of the run: elements as they are, or strings behind their lengths.
#[derive(Clone, Copy)]
enum Run<'a> {
    Fixed(&'a [u8]),
    Strings { lengths: &'a [u8], bytes: &'a [u8] },
}

fn run_bytes(tensor: &Tensor) -> usize {
    match tensor.strings() {
        Some(strings) => strings.len() * size_of::<Length>() + strings.bytes().len(),
        None => tensor.bytes().unwrap_or_default().len(),
    }
}

fn write_run(tensor: &Tensor, run: &mut AlignedBuffer) {
    match tensor.strings() {
        Some(strings) => {
            for text in strings.iter() {
                run.push::<Length>(text.len() as Length);
            }
            run.extend_from_slice(strings.bytes());
        }
        None => run.extend_from_slice(tensor.bytes().unwrap_or_default()),
    }
}

/// Takes the part of a tensor of `elements` elements from the front. Bytes that are not there are left out, which
/// [`read_run`] finds.
fn split_run(run: &[u8], datatype: DataType, elements: usize) -> (Run<'_>, &[u8]) {
    if let Some(size) = datatype.size() {
        let (own, rest) = split_at_most(run, elements.saturating_mul(size));
        return (Run::Fixed(own), rest);
    }
    let (lengths, rest) = split_at_most(run, elements.saturating_mul(size_of::<Length>()));
    let total = each_length(lengths).fold(0_usize, usize::saturating_add);
    let (bytes, rest) = split_at_most(rest, total);
    (Run::Strings { lengths, bytes }, rest)
}

fn split_at_most(bytes: &[u8], count: usize) -> (&[u8], &[u8]) {
    bytes.split_at(count.min(bytes.len()))
}

fn each_length(lengths: &[u8]) -> impl Iterator<Item = usize> {
    let (whole, _rest) = lengths.as_chunks();
    whole.iter().map(|bytes| usize::try_from(Length::from_le_bytes(*bytes)).unwrap_or(usize::MAX))
}

fn read_run(spec: &TensorSpec, rows: usize, run: Run<'_>) -> Result<Tensor, InputError> {
    let size = |axis: &Axis| match axis {
        Axis::Fixed(size) => *size,
        Axis::Batch | Axis::Dynamic { buckets: _ } => rows,
    };
    let shape: Vec<usize> = spec.shape.iter().map(size).collect();
    match run {
        Run::Fixed(bytes) => Tensor::from_buffer(&spec.name, spec.datatype, shape, AlignedBuffer::from_slice(bytes)),
        Run::Strings { lengths, mut bytes } => {
            let mut strings = Strings::new();
            for length in each_length(lengths) {
                let (text, rest) = split_at_most(bytes, length);
                strings.push(text);
                bytes = rest;
            }
            Tensor::from_strings(&spec.name, shape, strings)
        }
    }
}
