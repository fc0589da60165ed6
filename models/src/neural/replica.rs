//! The device half of a served net: one upload, one read-back a batch, two batches in flight.
//!
//! On a GPU a batch is padded to its bucket, whose kernels were compiled by warming. On the CPU nothing is compiled, so only
//! what reproducibility needs is added: a batch has at least two rows and a layer at least two units, because for one
//! row or one column the matrix product takes another path with another order of additions. So a row's answer is the same
//! bits in any batch there (`Invariance::Exact`; see `net` for the limits, and the test `replica` for the proof).

use std::collections::VecDeque;

use burn::tensor::{Device, Tensor};
use contract::{DeviceKind, MemoryUse, Replica, RowBlock, RunError, Ticket};

use super::{
    faults::{read_values, run_error},
    mlp::{Mlp, MlpShape, matrix, vector},
};

/// Batches that may be submitted and not yet collected.
const IN_FLIGHT: usize = 2;

/// Rows and units that keep the CPU's matrix product on its general path.
const LEAST_ON_CPU: usize = 2;

pub(crate) struct NetReplica {
    mlp: Mlp,
    device: Device,
    device_name: String,
    on_cpu: bool,
    inputs: usize,
    /// Scores wanted per row, and computed per row.
    outputs: usize,
    computed: usize,
    activations: usize,
    weights: u64,
    largest_bucket: usize,
    next: u64,
    pending: VecDeque<Pending>,
}

struct Pending {
    ticket: Ticket,
    rows: usize,
    scores: Tensor<2>,
}

impl NetReplica {
    /// Places a net on `device`, which is `burn` to burn.
    pub(crate) fn new(shape: &MlpShape, parameters: &[f32], device: &contract::Device, burn: Device) -> Self {
        let on_cpu = device.kind == DeviceKind::Cpu;
        let least = if on_cpu { LEAST_ON_CPU } else { 1 };
        let (placed, parameters) = shape.padded(parameters, least);
        let weights = size_of_val(parameters.as_slice()) as u64;
        Self {
            mlp: Mlp::new(&placed, &vector(parameters, &burn)),
            device: burn,
            device_name: device.to_string(),
            on_cpu,
            inputs: shape.inputs,
            outputs: shape.outputs,
            computed: placed.outputs,
            activations: placed.activations(),
            weights,
            largest_bucket: 0,
            next: 0,
            pending: VecDeque::with_capacity(IN_FLIGHT),
        }
    }

    fn failed(&self, reason: String) -> RunError {
        RunError::Failed { reason: format!("device {}: {reason}", self.device_name) }
    }
}

impl Replica for NetReplica {
    fn warm(&mut self, bucket: usize) -> Result<(), RunError> {
        let mut rows = RowBlock::new(self.inputs * size_of::<f32>());
        rows.data_mut().resize(bucket * self.inputs * size_of::<f32>());
        let mut out = RowBlock::default();
        let ticket = self.submit(&rows, bucket)?;
        self.collect(ticket, &mut out)
    }

    fn submit(&mut self, batch: &RowBlock, bucket: usize) -> Result<Ticket, RunError> {
        let rows = batch.rows();
        if batch.row_bytes() != self.inputs * size_of::<f32>() {
            let got = batch.row_bytes();
            return Err(self.failed(format!("expected rows of {} values, got {got} bytes", self.inputs)));
        }
        if rows == 0 || rows > bucket {
            return Err(self.failed(format!("expected 1 to {bucket} rows, got {rows}")));
        }
        if self.pending.len() >= IN_FLIGHT {
            return Err(self.failed(format!("expected at most {IN_FLIGHT} batches in flight")));
        }
        let placed = if self.on_cpu { rows.max(LEAST_ON_CPU) } else { bucket };
        let mut values = Vec::with_capacity(placed * self.inputs);
        values.extend_from_slice(batch.data().as_slice::<f32>());
        values.resize(placed * self.inputs, 0.0);
        let scores = self.mlp.forward(matrix(values, self.inputs, &self.device), &[]);
        if !self.on_cpu {
            // Operations wait in the host's queue until they are flushed; without this the device would idle until collect.
            self.device.flush().map_err(|error| run_error(&self.device_name, &error))?;
        }
        self.largest_bucket = self.largest_bucket.max(placed);
        let ticket = Ticket(self.next);
        self.next += 1;
        self.pending.push_back(Pending { ticket, rows, scores });
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket, out: &mut RowBlock) -> Result<(), RunError> {
        let Some(position) = self.pending.iter().position(|pending| pending.ticket == ticket) else {
            return Err(self.failed(format!("no batch {} is in flight", ticket.0)));
        };
        let Some(Pending { ticket: _, rows, scores }) = self.pending.remove(position) else {
            return Err(self.failed(format!("no batch {} is in flight", ticket.0)));
        };
        let values = read_values(&self.device_name, scores)?;
        out.reset(self.outputs * size_of::<f32>());
        if self.computed == self.outputs {
            out.data_mut().extend_from_slice(&values[..rows * self.outputs]);
        } else {
            for row in values.chunks_exact(self.computed).take(rows) {
                out.data_mut().extend_from_slice(&row[..self.outputs]);
            }
        }
        Ok(())
    }

    fn memory(&self) -> MemoryUse {
        let activations = (self.largest_bucket * self.activations * size_of::<f32>()) as u64;
        MemoryUse { weights: self.weights, activations }
    }
}
