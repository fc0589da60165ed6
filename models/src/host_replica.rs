//! The device half of a model that the CPU computes: in `submit`, at once.

use std::{collections::VecDeque, sync::Arc};

use contract::{AlignedBuffer, Direct, MemoryUse, Replica, RowBlock, RunError, Ticket};

/// Batches that may be submitted and not yet collected.
const IN_FLIGHT: usize = 2;

pub(crate) struct HostReplica {
    model: Arc<dyn Direct>,
    /// Bytes of an encoded row.
    row_bytes: usize,
    /// Bytes that the model holds.
    bytes: usize,
    scratch: AlignedBuffer,
    next: u64,
    done: VecDeque<(Ticket, RowBlock)>,
    /// Blocks to be used again.
    spare: Vec<RowBlock>,
}

impl HostReplica {
    /// Of a model that takes rows of `row_bytes` and itself holds `bytes`.
    pub(crate) fn new(model: Arc<dyn Direct>, row_bytes: usize, bytes: usize) -> Self {
        let (done, spare) = (VecDeque::with_capacity(IN_FLIGHT), Vec::with_capacity(IN_FLIGHT));
        Self { model, row_bytes, bytes, scratch: AlignedBuffer::new(), next: 0, done, spare }
    }
}

impl Replica for HostReplica {
    /// Nothing is compiled; the buffers grow to their size.
    fn warm(&mut self, bucket: usize) -> Result<(), RunError> {
        let mut rows = RowBlock::new(self.row_bytes);
        rows.data_mut().resize(bucket * self.row_bytes);
        let mut out = RowBlock::default();
        let ticket = self.submit(&rows, bucket)?;
        self.collect(ticket, &mut out)
    }

    fn submit(&mut self, batch: &RowBlock, bucket: usize) -> Result<Ticket, RunError> {
        let rows = batch.rows();
        if rows == 0 || rows > bucket {
            return Err(failed(&format!("expected 1 to {bucket} rows, got {rows}")));
        }
        if self.done.len() >= IN_FLIGHT {
            return Err(failed(&format!("expected at most {IN_FLIGHT} batches in flight")));
        }
        let mut scores = self.spare.pop().unwrap_or_default();
        self.model.run(batch, &mut self.scratch, &mut scores)?;
        let ticket = Ticket(self.next);
        self.next += 1;
        self.done.push_back((ticket, scores));
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket, out: &mut RowBlock) -> Result<(), RunError> {
        let place = self.done.iter().position(|(done, _)| *done == ticket);
        let Some((_, mut scores)) = place.and_then(|place| self.done.remove(place)) else {
            return Err(failed(&format!("no batch {} is in flight", ticket.0)));
        };
        std::mem::swap(out, &mut scores);
        self.spare.push(scores);
        Ok(())
    }

    fn memory(&self) -> MemoryUse {
        let blocks = self.done.iter().map(|(_, block)| block).chain(&self.spare);
        let blocks = blocks.map(|block| block.data().len()).sum::<usize>();
        MemoryUse { weights: self.bytes as u64, activations: (self.scratch.len() + blocks) as u64 }
    }
}

fn failed(reason: &str) -> RunError {
    RunError::Failed { reason: format!("device cpu: {reason}") }
}
