//! The traits between the serving engine and the models.
//!
//! A [`Model`] is the host half: immutable, shared by all threads. A [`Replica`] is the device half: born, used and
//! dropped on the thread of the executor that owns its device.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    AlignedBuffer, Device, DeviceKind, InputError, OpenError, RowBlock, RunError, Signature, Tensor, VersionMetadata,
};

/// Opens saved models of the kinds it knows.
pub trait Format: Send + Sync {
    /// Opens the artifact in `directory`, checking every file against its checksum.
    ///
    /// # Errors
    /// [`OpenError`], naming the file that is missing, cut, altered or of a kind this build does not know.
    fn open(&self, directory: &Path) -> Result<Arc<dyn Model>, OpenError>;

    /// Turns a file that another tool wrote into an artifact at `directory`, which is made; what the file is, its content tells.
    /// Gives what is to be stored with the version.
    ///
    /// # Errors
    /// [`OpenError`], naming what the file was expected to be.
    fn import(&self, file: &Path, directory: &Path) -> Result<VersionMetadata, OpenError> {
        let _ = directory;
        let (expected, got) = ("an artifact".to_owned(), "a file of another tool".to_owned());
        Err(OpenError::Content { path: file.to_owned(), expected, got })
    }
}

/// The host half of a model: everything but the device.
pub trait Model: Send + Sync {
    /// What it takes and gives.
    fn signature(&self) -> &Signature;

    /// Moves only when the model itself does (online learning); part of the cache key.
    fn revision(&self) -> u64 {
        0
    }

    /// Whether a row's answer depends on the other rows of its batch.
    fn invariance(&self) -> Invariance;

    /// Row counts that the device half compiles for on such a device, ascending; a batch is padded to the next one. The last
    /// one bounds a batch together with the deployment's `max_batch_rows`.
    fn buckets(&self, device: DeviceKind) -> &[usize];

    /// Turns a request's inputs into the device half's rows, on the caller's thread and before any queue, so that a bad
    /// row fails its own request alone. `rows` is reset first.
    ///
    /// # Errors
    /// [`InputError`] when an input does not fit the signature.
    fn encode(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<Cost, InputError>;

    /// Turns the device half's output rows into the outputs named in `wanted`, in that order (all outputs of the
    /// signature when `wanted` is empty), on the caller's thread.
    ///
    /// # Errors
    /// [`InputError::UnknownOutput`] for a name that the signature lacks.
    fn decode(&self, raw: &RowBlock, wanted: &[String]) -> Result<Vec<Tensor>, InputError>;

    /// Places the weights on `device`. Called on the executor's thread, where the replica stays.
    ///
    /// # Errors
    /// [`RunError`] when the device has no room or is gone.
    fn place(&self, device: &Device) -> Result<Box<dyn Replica>, RunError>;

    /// The model as any thread may run it, when a CPU answers it in microseconds; the executor's replica gives the same answers.
    fn direct(&self) -> Option<&dyn Direct> {
        None
    }

    /// What explains the model's answers. It may take a while the first time.
    ///
    /// # Errors
    /// [`InputError::Unexplained`], saying why, for a model that cannot be explained.
    fn explain(&self) -> Result<&dyn Explain, InputError> {
        Err(InputError::Unexplained { reason: "only tree models can".to_owned() })
    }

    /// A few inputs with the answers that the model gave when it was saved, run before it takes traffic.
    fn golden(&self) -> Option<&Golden> {
        None
    }
}

/// The device half of a model. Not `Send`: a GPU runtime gives every thread that touches it a stream and memory pools.
pub trait Replica {
    /// Compiles and tunes for batches of `bucket` rows.
    ///
    /// # Errors
    /// [`RunError`] as for [`Replica::submit`].
    fn warm(&mut self, bucket: usize) -> Result<(), RunError>;

    /// Uploads a batch and starts it. `batch` holds at most `bucket` rows; the replica pads. At most two tickets are in
    /// flight, so that the next batch uploads while the last one computes.
    ///
    /// # Errors
    /// [`RunError`] when the device cannot run it.
    fn submit(&mut self, batch: &RowBlock, bucket: usize) -> Result<Ticket, RunError>;

    /// Waits for a submitted batch and writes one output row per input row, padding removed. `out` is reset first.
    ///
    /// # Errors
    /// [`RunError`] when the device failed meanwhile.
    fn collect(&mut self, ticket: Ticket, out: &mut RowBlock) -> Result<(), RunError>;

    /// Memory held on the device.
    fn memory(&self) -> MemoryUse;
}

/// A model that any thread may run on the CPU, beside its replicas.
pub trait Direct: Send + Sync {
    /// Computes one output row per input row, the same bits as a replica on the CPU. `out` is reset first; `scratch` is the
    /// calling thread's own, to be used as it likes.
    ///
    /// # Errors
    /// [`RunError`] as for [`Replica::submit`].
    fn run(&self, rows: &RowBlock, scratch: &mut AlignedBuffer, out: &mut RowBlock) -> Result<(), RunError>;
}

/// What each column adds to a row's answer (SHAP values: Lundberg and Lee, NIPS 2017).
pub trait Explain: Send + Sync {
    /// Numbers that an answer is made of, before they become a probability or the like: the margins.
    fn margins(&self) -> usize;

    /// Columns, in the signature's order.
    fn columns(&self) -> usize;

    /// Explains row number `row` of encoded `rows`: for each margin, what each column adds to it, and then what is expected of
    /// it. Those add up to the margin. `out` has room for [`Explain::margins`] × ([`Explain::columns`] + 1) numbers.
    ///
    /// # Errors
    /// [`RunError::Failed`] when there is no such row, or no such room.
    fn row(&self, rows: &RowBlock, row: usize, out: &mut [f64]) -> Result<(), RunError>;
}

/// Names a batch that was submitted and not yet collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What a request costs its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Rows encoded.
    pub rows: usize,
    /// Shape class: only rows of one class are batched together. 0 for models of fixed row width; a text model names its
    /// padded length.
    pub class: usize,
}

/// Whether a row's answer depends on its batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariance {
    /// Never: the same row gives the same bits in any batch.
    Exact,
    /// By at most this relative difference, because the device picks another order of additions.
    Within(f32),
}

/// Memory held on a device, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// Weights and constants.
    pub weights: u64,
    /// The largest batch's activations, as far as known.
    pub activations: u64,
}

/// Inputs with the answers that the model gave when it was saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    /// A request's inputs.
    pub inputs: Vec<Tensor>,
    /// The outputs then.
    pub outputs: Vec<Tensor>,
    /// Largest difference allowed, relative to the larger magnitude of the two and 1.
    pub tolerance: f32,
}
