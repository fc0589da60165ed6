//! The device half of a served net on a GPU: one upload, one read-back a batch, two batches in flight.
//!
//! A batch is padded to its bucket, whose kernels were compiled by warming. On the CPU nets are computed by `host`.

use std::{collections::VecDeque, sync::Arc};

use burn::tensor::{Device, Tensor};
use contract::{MemoryUse, Replica, RowBlock, RunError, Ticket};

use super::{
    faults::{read_values, run_error},
    nets::{Average, Mode, Net, NetShape, Plan, matrix, vector},
};

/// Batches that may be submitted and not yet collected.
const IN_FLIGHT: usize = 2;

pub(crate) struct NetReplica {
    net: Net,
    average: Average,
    device: Device,
    device_name: String,
    inputs: usize,
    /// Scores per row.
    outputs: usize,
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
    pub(crate) fn new(
        shape: &NetShape,
        parameters: &[f32],
        average: Average,
        device: &contract::Device,
        burn: Device,
    ) -> Self {
        let plan = Arc::new(Plan::new(shape.clone(), &burn));
        Self {
            net: Net::new(&plan, &vector(parameters.to_vec(), &burn)),
            average,
            device: burn,
            device_name: device.to_string(),
            inputs: shape.inputs,
            outputs: shape.outputs,
            activations: shape.activations(),
            weights: size_of_val(parameters) as u64,
            largest_bucket: 0,
            next: 0,
            pending: VecDeque::with_capacity(IN_FLIGHT),
        }
    }

    fn failed(&self, reason: &str) -> RunError {
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
            return Err(self.failed(&format!("expected rows of {} values, got {got} bytes", self.inputs)));
        }
        if rows == 0 || rows > bucket {
            return Err(self.failed(&format!("expected 1 to {bucket} rows, got {rows}")));
        }
        if self.pending.len() >= IN_FLIGHT {
            return Err(self.failed(&format!("expected at most {IN_FLIGHT} batches in flight")));
        }
        let mut values = Vec::with_capacity(bucket * self.inputs);
        values.extend_from_slice(batch.data().as_slice::<f32>());
        values.resize(bucket * self.inputs, 0.0);
        let passed = self.net.forward(matrix(values, self.inputs, &self.device), Mode::Serve);
        let scores = NetShape::averaged(passed.scores, self.average);
        // Operations wait in the host's queue until they are flushed; without this the device would idle until collect.
        self.device.flush().map_err(|error| run_error(&self.device_name, &error))?;
        self.largest_bucket = self.largest_bucket.max(bucket);
        let ticket = Ticket(self.next);
        self.next += 1;
        self.pending.push_back(Pending { ticket, rows, scores });
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket, out: &mut RowBlock) -> Result<(), RunError> {
        let Some(position) = self.pending.iter().position(|pending| pending.ticket == ticket) else {
            return Err(self.failed(&format!("no batch {} is in flight", ticket.0)));
        };
        let Some(Pending { ticket: _, rows, scores }) = self.pending.remove(position) else {
            return Err(self.failed(&format!("no batch {} is in flight", ticket.0)));
        };
        let values = read_values(&self.device_name, scores)?;
        out.reset(self.outputs * size_of::<f32>());
        out.data_mut().extend_from_slice(&values[..rows * self.outputs]);
        Ok(())
    }

    fn memory(&self) -> MemoryUse {
        let activations = (self.largest_bucket * self.activations * size_of::<f32>()) as u64;
        MemoryUse { weights: self.weights, activations }
    }
}
