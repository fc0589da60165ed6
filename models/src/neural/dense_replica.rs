//! The device half of a net that the CPU computes by [`DenseNet`]: in `submit`, at once.

use std::{collections::VecDeque, sync::Arc};

use contract::{AlignedBuffer, MemoryUse, Replica, RowBlock, RunError, Ticket};

use super::dense::DenseNet;

/// Batches that may be submitted and not yet collected.
const IN_FLIGHT: usize = 2;

pub(crate) struct DenseReplica {
    net: Arc<DenseNet>,
    scratch: AlignedBuffer,
    next: u64,
    done: VecDeque<(Ticket, RowBlock)>,
    /// Blocks to be used again.
    spare: Vec<RowBlock>,
}

impl DenseReplica {
    pub(crate) fn new(net: Arc<DenseNet>) -> Self {
        let done = VecDeque::with_capacity(IN_FLIGHT);
        Self { net, scratch: AlignedBuffer::new(), next: 0, done, spare: Vec::with_capacity(IN_FLIGHT) }
    }
}

impl Replica for DenseReplica {
    /// Nothing is compiled; the buffers grow to their size.
    fn warm(&mut self, bucket: usize) -> Result<(), RunError> {
        let row_bytes = self.net.inputs() * size_of::<f32>();
        let mut rows = RowBlock::new(row_bytes);
        rows.data_mut().resize(bucket * row_bytes);
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
        self.net.run(batch, &mut self.scratch, &mut scores)?;
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
        let blocks = self.spare.iter().map(|block| block.data().len()).sum::<usize>();
        MemoryUse { weights: self.net.bytes() as u64, activations: (self.scratch.len() + blocks) as u64 }
    }
}

fn failed(reason: &str) -> RunError {
    RunError::Failed { reason: format!("device cpu: {reason}") }
}
