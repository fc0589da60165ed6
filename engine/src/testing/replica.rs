//! The fake model's device half.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use contract::{Device, MemoryUse, Replica, RowBlock, RunError, Ticket};

use super::{
    model::{FakeSettings, holds},
    probe::{FakeProbe, panic_as_told},
};

/// A batch on the fake device.
struct Batch {
    sums: Vec<f32>,
    panics: bool,
}

pub(super) struct FakeReplica {
    settings: FakeSettings,
    device: String,
    probe: Arc<FakeProbe>,
    batches: HashMap<u64, Batch>,
    next_ticket: u64,
}

impl FakeReplica {
    pub(super) fn new(settings: FakeSettings, device: &Device, probe: Arc<FakeProbe>) -> Self {
        Self { settings, device: device.to_string(), probe, batches: HashMap::new(), next_ticket: 0 }
    }
}

impl Replica for FakeReplica {
    fn warm(&mut self, bucket: usize) -> Result<(), RunError> {
        self.probe.warm(bucket);
        // Warming runs a batch.
        if self.settings.batch_micros > 0 {
            std::thread::sleep(self.settings.batch_time());
        }
        self.probe.wait_while_braked();
        if self.settings.fail_warming == Some(bucket) {
            return Err(RunError::OutOfMemory {
                device: self.device.clone(),
                reason: "the fake model was told to fail while warming".to_owned(),
            });
        }
        Ok(())
    }

    fn submit(&mut self, batch: &RowBlock, bucket: usize) -> Result<Ticket, RunError> {
        if holds(batch, self.settings.panic_on) {
            panic_as_told("at once");
        }
        if holds(batch, self.settings.fail_on) {
            return Err(RunError::Failed { reason: "the fake model was told to fail".to_owned() });
        }
        if holds(batch, self.settings.lose_device_on) {
            return Err(RunError::DeviceLost {
                device: self.device.clone(),
                reason: "the fake model was told to lose it".to_owned(),
            });
        }
        if batch.rows() > bucket || !self.settings.buckets.contains(&bucket) {
            let reason =
                format!("expected a bucket of {:?} for {} rows, got {bucket}", self.settings.buckets, batch.rows());
            return Err(RunError::Failed { reason });
        }
        let values = batch.data().as_slice::<f32>();
        let sums =
            values.chunks(self.settings.width).map(|row| row.iter().sum::<f32>() + self.settings.offset).collect();
        self.probe.submitted(batch.rows(), self.settings.list_batches);
        self.next_ticket += 1;
        self.batches.insert(self.next_ticket, Batch { sums, panics: holds(batch, self.settings.panic_late_on) });
        Ok(Ticket(self.next_ticket))
    }

    fn collect(&mut self, ticket: Ticket, out: &mut RowBlock) -> Result<(), RunError> {
        let Some(Batch { sums, panics }) = self.batches.remove(&ticket.0) else {
            return Err(RunError::Failed { reason: format!("expected a ticket in flight, got {}", ticket.0) });
        };
        self.probe.collected();
        if self.settings.batch_micros > 0 {
            std::thread::sleep(self.settings.batch_time());
        }
        self.probe.wait_while_braked();
        if panics {
            panic_as_told("late");
        }
        out.reset(size_of::<f32>());
        out.data_mut().extend_from_slice(&sums);
        Ok(())
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse { weights: (self.settings.width * size_of::<f32>()) as u64, activations: 0 }
    }
}

impl Drop for FakeReplica {
    fn drop(&mut self) {
        self.probe.drops.fetch_add(1, Ordering::SeqCst);
    }
}
