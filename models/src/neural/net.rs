//! The host half of a served net: requests to encoded rows, scores to outputs, and a place on a device.

use std::sync::{Arc, OnceLock};

use contract::{
    Cost, DataType, Device, DeviceKind, Direct, Golden, InputError, Invariance, Model, Replica, RowBlock, RunError,
    Signature, Tensor,
};

use super::{head::Head, host::HostNet, nets::NetShape, replica::NetReplica};
use crate::{batches::run_rows, device::to_burn, host_replica::HostReplica, table::Encoders};

/// Row counts that devices compile for. Twice the rows cost a GPU about the same until it is full, so powers of two waste
/// little and keep the number of kernels to warm small.
const BUCKETS: [usize; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// The same for the CPU, where nothing is compiled and every row costs.
const CPU_BUCKETS: [usize; 20] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];

/// How far a row's scores may move with its batch elsewhere: another bucket is another kernel with another order of
/// additions. A choice that leaves room for wide layers, and the bound that the tests hold GPU adapters to beside the CPU.
const BATCH_TOLERANCE: f32 = 1e-4;

/// How requests become rows.
#[derive(Clone, Debug)]
pub(crate) enum InputForm {
    /// A table's rows, by the encoders fitted in training.
    Table(Box<Encoders>),
    /// One FP32 tensor `[n, width]` of this name.
    Plain { name: String, width: usize },
}

/// Weights of a net, shared by its replicas.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) shape: NetShape,
    pub(crate) parameters: Vec<f32>,
}

/// A net over a table's rows, or over plain numbers when it was imported.
#[derive(Clone, Debug)]
pub struct TableNet {
    signature: Signature,
    input: InputForm,
    head: Head,
    weights: Arc<Weights>,
    golden: Option<Golden>,
    cpu_only: bool,
    /// The net as the CPU reads it best, made when a CPU first asks for it.
    host: OnceLock<Result<Arc<HostNet>, String>>,
}

impl TableNet {
    /// A net from its parts; the caller has checked that they fit together (see [`TableNet::check`]).
    pub(crate) const fn new(
        signature: Signature,
        input: InputForm,
        head: Head,
        weights: Arc<Weights>,
        golden: Option<Golden>,
        cpu_only: bool,
    ) -> Self {
        Self { signature, input, head, weights, golden, cpu_only, host: OnceLock::new() }
    }

    /// The net as the CPU computes it.
    fn host(&self) -> Result<&Arc<HostNet>, &String> {
        self.host.get_or_init(|| HostNet::new(&self.weights, self.head.average()).map(Arc::new)).as_ref()
    }

    /// What does not fit together, as what was expected and what came.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        let NetShape { inputs, outputs, .. } = &self.weights.shape;
        let (width, scores) = (self.width(), self.head.scores());
        if *inputs != width {
            return Err((format!("weights for {width} values a row"), format!("weights for {inputs}")));
        }
        if *outputs != scores {
            return Err((format!("weights that give {scores} scores a row"), format!("weights that give {outputs}")));
        }
        let expected = self.head.outputs(self.signature.outputs.first().map_or("", |spec| &spec.name));
        if self.signature.outputs != expected {
            let expected = expected.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err((format!("outputs {expected}"), self.signature.describe_outputs()));
        }
        Ok(())
    }

    /// f32 values per encoded row.
    #[must_use]
    pub(crate) fn width(&self) -> usize {
        match &self.input {
            InputForm::Table(encoders) => encoders.width(),
            InputForm::Plain { name: _, width } => *width,
        }
    }

    /// The encoders of a net over a table's rows; none for an import.
    #[must_use]
    pub fn encoders(&self) -> Option<&Encoders> {
        match &self.input {
            InputForm::Table(encoders) => Some(encoders),
            InputForm::Plain { name: _, width: _ } => None,
        }
    }

    /// Sizes of the net.
    #[must_use]
    pub fn shape(&self) -> &NetShape {
        &self.weights.shape
    }

    /// The parameters, flat, in the order of the saved weights' keys.
    #[must_use]
    pub fn parameters(&self) -> &[f32] {
        &self.weights.parameters
    }

    /// Runs encoded rows on a replica of this net, in batches of the largest bucket with two in flight, and gives the
    /// scores as [`Model::decode`] takes them.
    ///
    /// # Errors
    /// [`RunError`] of the replica.
    pub fn score(&self, replica: &mut dyn Replica, rows: &RowBlock) -> Result<RowBlock, RunError> {
        run_rows(&BUCKETS, replica, rows)
    }

    /// The only input of an import, checked.
    fn encode_plain(
        &self,
        name: &str,
        width: usize,
        inputs: &[Tensor],
        rows: &mut RowBlock,
    ) -> Result<usize, InputError> {
        let expected = || self.signature.describe_inputs();
        if let Some(other) = inputs.iter().find(|input| input.name() != name) {
            return Err(InputError::UnknownInput { name: other.name().to_owned(), expected: expected() });
        }
        let input = match inputs {
            [] => return Err(InputError::MissingInput { name: name.to_owned(), expected: expected() }),
            [input] => input,
            [_, ..] => return Err(InputError::DuplicateInput { name: name.to_owned() }),
        };
        let Some(values) = input.values::<f32>() else {
            let (name, expected, got) = (name.to_owned(), DataType::Fp32.to_string(), input.datatype());
            return Err(InputError::WrongDatatype { name, expected, got });
        };
        let &[count, columns] = input.shape() else {
            let (name, expected, got) = (name.to_owned(), format!("[-1, {width}]"), input.shape().to_vec());
            return Err(InputError::WrongShape { name, expected, got });
        };
        if columns != width {
            let (name, expected, got) = (name.to_owned(), format!("[-1, {width}]"), input.shape().to_vec());
            return Err(InputError::WrongShape { name, expected, got });
        }
        if count == 0 {
            return Err(InputError::NoRows);
        }
        if let Some(missing) = input.validity().and_then(|_| (0..input.len()).find(|index| !input.is_valid(*index))) {
            return Err(InputError::BadValue {
                row: missing / width,
                column: format!("{name}[{}]", missing % width),
                expected: "a number".to_owned(),
                got: "null".to_owned(),
            });
        }
        rows.data_mut().extend_from_slice(values);
        Ok(count)
    }
}

impl Model for TableNet {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Exact where only the CPU computes; elsewhere within a relative 1e-4.
    fn invariance(&self) -> Invariance {
        if self.cpu_only { Invariance::Exact } else { Invariance::Within(BATCH_TOLERANCE) }
    }

    fn buckets(&self, device: DeviceKind) -> &[usize] {
        if device == DeviceKind::Cpu { &CPU_BUCKETS } else { &BUCKETS }
    }

    fn encode(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<Cost, InputError> {
        rows.reset(self.width() * size_of::<f32>());
        let count = match &self.input {
            InputForm::Table(encoders) => encoders.encode_tensors(inputs, rows)?,
            InputForm::Plain { name, width } => self.encode_plain(name, *width, inputs, rows)?,
        };
        Ok(Cost { rows: count, class: 0 })
    }

    fn decode(&self, raw: &RowBlock, wanted: &[String]) -> Result<Vec<Tensor>, InputError> {
        self.head.decode(raw.data().as_slice::<f32>(), &self.signature, wanted)
    }

    fn direct(&self) -> Option<&dyn Direct> {
        self.host().ok().map(|host| &**host as &dyn Direct)
    }

    fn place(&self, device: &Device) -> Result<Box<dyn Replica>, RunError> {
        if device.kind == DeviceKind::Cpu {
            let host = self.host().map_err(|reason| RunError::Failed { reason: reason.clone() })?;
            let row_bytes = host.inputs() * size_of::<f32>();
            return Ok(Box::new(HostReplica::new(Arc::clone(host) as Arc<dyn Direct>, row_bytes, host.bytes())));
        }
        let burn = to_burn(device)
            .map_err(|error| RunError::DeviceLost { device: device.to_string(), reason: error.to_string() })?;
        let Weights { shape, parameters } = &*self.weights;
        Ok(Box::new(NetReplica::new(shape, parameters, self.head.average(), device, burn)))
    }

    fn golden(&self) -> Option<&Golden> {
        self.golden.as_ref()
    }
}
