//! The device half of a tree model on a GPU: rows go up, sums come down, two batches in flight.
//!
//! Rows travel as f32 and are coded on the device. Where the source compares in f64 and a batch holds a number that is no f32, the
//! host codes it, exactly, and the bytes travel in the rows' place: so leaves are the CPU's in any case. Sums are 64-bit integers
//! on the device ([`kernels::traverse`]) and are exact but for the rounding of each leaf when it was laid out; they become margins
//! here, in the source's precision. So a row has the same bits in any batch. The CPU rounds after each tree, so its bits may
//! differ, by what that loses.

use std::{collections::VecDeque, sync::Arc};

use contract::{Device, MemoryUse, Replica, RowBlock, RunError, Ticket};
use cubecl::{client::Client, server::Handle};
use kernels::{
    Error,
    traverse::{self, CategoryRule, Code, Coder, Missing, Split, Test, Tree, gpu},
};
use trees::{
    ensemble,
    predict::{Child, Plain, PlainTest},
};

use super::model::Forest;
use crate::{device::to_cube, neural::failure};

/// Batches that may be submitted and not yet collected.
const IN_FLIGHT: usize = 2;

/// Row counts that the device half takes: a batch is filled up to the next one.
pub(super) const BUCKETS: [usize; 13] = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];

pub(super) struct DeviceReplica {
    forest: Arc<Forest>,
    client: Client,
    device_name: String,
    coder: gpu::DeviceCoder,
    trees: gpu::DeviceForest,
    /// What a sum's 1 stands for, by margin.
    units: Vec<f64>,
    /// Bytes of an encoded row, features a row, and bytes a coded row, filled up to whole words.
    row_bytes: usize,
    features: usize,
    coded: usize,
    /// Rows that one launch takes.
    launch: usize,
    largest_bucket: usize,
    next: u64,
    pending: VecDeque<Pending>,
}

struct Pending {
    ticket: Ticket,
    rows: usize,
    sums: Vec<Handle>,
}

impl DeviceReplica {
    /// Lays the forest on `device`; none, with the reason in the log, when the kernels cannot say what the model does or the device
    /// has no buffer large enough.
    pub(super) fn new(forest: &Arc<Forest>, row_bytes: usize, device: &Device) -> Result<Option<Self>, RunError> {
        let device_name = device.to_string();
        let Some(plain) = forest.predictor().plain() else {
            tracing::info!(device = device_name, "trees stay on the host: they are no sum of constant leaves");
            return Ok(None);
        };
        let (coder, trees) = match laid_out(&plain) {
            Ok(laid) => laid,
            Err(reason) => {
                tracing::info!(device = device_name, %reason, "trees stay on the host");
                return Ok(None);
            }
        };
        let cube = to_cube(device)
            .map_err(|error| RunError::DeviceLost { device: device_name.clone(), reason: error.to_string() })?;
        let client = cube.client();
        let uploaded = gpu::DeviceCoder::upload(&client, &coder)
            .and_then(|coder| Ok((coder, gpu::DeviceForest::upload(&client, &trees)?)));
        let (device_coder, device_trees) = match uploaded {
            Ok(uploaded) => uploaded,
            Err(reason @ Error::TooLarge { .. }) => {
                tracing::warn!(device = device_name, %reason, "trees stay on the host");
                return Ok(None);
            }
            Err(error) => return Err(failed(&device_name, &error)),
        };
        Ok(Some(Self {
            forest: Arc::clone(forest),
            launch: gpu::largest_launch(&client, &device_coder, &device_trees).max(1),
            client,
            device_name,
            coder: device_coder,
            trees: device_trees,
            units: (0..plain.width).map(|margin| trees.unit(margin)).collect(),
            row_bytes,
            features: plain.features,
            coded: coder.words() * size_of::<u32>(),
            largest_bucket: 0,
            next: 0,
            pending: VecDeque::with_capacity(IN_FLIGHT),
        }))
    }

    fn failed(&self, reason: &str) -> RunError {
        RunError::Failed { reason: format!("device {}: {reason}", self.device_name) }
    }

    /// Starts all launches of a batch that is filled up to `bucket` rows.
    fn start(&self, batch: &RowBlock, bucket: usize) -> kernels::Result<Vec<Handle>> {
        let predictor = self.forest.predictor();
        let narrow = match predictor.ensemble().rules.compare {
            ensemble::Precision::F32 => Some(batch.data().as_slice::<f32>().to_vec()),
            ensemble::Precision::F64 => narrow(batch.data().as_slice::<f64>()),
        };
        let launches = |width: usize| width * self.launch;
        let coded: Vec<Handle> = if let Some(mut values) = narrow {
            values.resize(bucket * self.features, 0.0);
            let launch = |values: &[f32]| {
                let values = self.client.create_from_slice(bytemuck::cast_slice(values));
                gpu::launch_code(&self.client, values, &self.coder)
            };
            values.chunks(launches(self.features)).map(launch).collect::<kernels::Result<_>>()?
        } else {
            let mut bytes = vec![0; bucket * self.coded];
            let wide = batch.data().as_slice::<f64>();
            // The rows are whole: `submit` has looked.
            predictor
                .code(wide, self.coded, &mut bytes[..batch.rows() * self.coded])
                .map_err(|_| Error::Rows { features: self.features, got: wide.len() })?;
            bytes.chunks(launches(self.coded)).map(|bytes| self.client.create_from_slice(bytes)).collect()
        };
        let sums = coded.into_iter().map(|words| gpu::launch_sums(&self.client, words, &self.trees));
        let sums = sums.collect::<kernels::Result<_>>()?;
        // Without this the launches could wait in the host's queue until collect.
        gpu::flush(&self.client)?;
        Ok(sums)
    }
}

impl Replica for DeviceReplica {
    fn warm(&mut self, bucket: usize) -> Result<(), RunError> {
        let mut rows = RowBlock::new(self.row_bytes);
        rows.data_mut().resize(bucket * self.row_bytes);
        let mut out = RowBlock::default();
        let ticket = self.submit(&rows, bucket)?;
        self.collect(ticket, &mut out)
    }

    fn submit(&mut self, batch: &RowBlock, bucket: usize) -> Result<Ticket, RunError> {
        let rows = batch.rows();
        if batch.row_bytes() != self.row_bytes {
            let got = batch.row_bytes();
            return Err(self.failed(&format!("expected rows of {} bytes, got {got}", self.row_bytes)));
        }
        if rows == 0 || rows > bucket {
            return Err(self.failed(&format!("expected 1 to {bucket} rows, got {rows}")));
        }
        if self.pending.len() >= IN_FLIGHT {
            return Err(self.failed(&format!("expected at most {IN_FLIGHT} batches in flight")));
        }
        let sums = self.start(batch, bucket).map_err(|error| failed(&self.device_name, &error))?;
        self.largest_bucket = self.largest_bucket.max(bucket);
        let ticket = Ticket(self.next);
        self.next += 1;
        self.pending.push_back(Pending { ticket, rows, sums });
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket, out: &mut RowBlock) -> Result<(), RunError> {
        let place = self.pending.iter().position(|pending| pending.ticket == ticket);
        let Some(Pending { ticket: _, rows, sums }) = place.and_then(|place| self.pending.remove(place)) else {
            return Err(self.failed(&format!("no batch {} is in flight", ticket.0)));
        };
        let width = self.units.len();
        out.reset(width * size_of::<f64>());
        out.data_mut().resize(rows * width * size_of::<f64>());
        let margins = out.data_mut().as_mut_slice::<f64>();
        for (sums, margins) in sums.into_iter().zip(margins.chunks_mut(self.launch * width)) {
            let sums = gpu::read_sums(&self.client, sums).map_err(|error| failed(&self.device_name, &error))?;
            for (row, sums) in margins.chunks_exact_mut(width).zip(sums.chunks_exact(width)) {
                for ((margin, sum), unit) in row.iter_mut().zip(sums).zip(&self.units) {
                    *margin = *sum as f64 * unit;
                }
            }
        }
        self.forest.predictor().finish(margins).map_err(|error| self.failed(&error.to_string()))
    }

    fn memory(&self) -> MemoryUse {
        let row = self.features * size_of::<f32>() + self.coded + self.units.len() * size_of::<i64>();
        let activations = (IN_FLIGHT * self.largest_bucket * row) as u64;
        MemoryUse { weights: self.coder.bytes() + self.trees.bytes(), activations }
    }
}

/// The kernels' form of a plain forest.
fn laid_out(plain: &Plain<'_>) -> kernels::Result<(Coder, traverse::Forest)> {
    let rule = match plain.category {
        ensemble::CategoryRule::Truncate => CategoryRule::Truncate,
        ensemble::CategoryRule::TruncateNonNegative => CategoryRule::TruncateNonNegative,
        ensemble::CategoryRule::Exact => CategoryRule::Exact,
    };
    let codes = plain.codes.iter().map(|code| Code {
        feature: code.feature,
        missing: match code.missing {
            ensemble::Missing::Left => Missing::Left,
            ensemble::Missing::Right => Missing::Right,
            ensemble::Missing::AsZero => Missing::AsZero,
            ensemble::Missing::ZeroLeft => Missing::ZeroLeft,
            ensemble::Missing::ZeroRight => Missing::ZeroRight,
        },
        test: match &code.test {
            PlainTest::Cuts(cuts) => Test::Cuts(cuts),
            PlainTest::Equal(value) => Test::Equal(*value),
            PlainTest::In(set) => Test::In(&set.words),
        },
    });
    let codes: Vec<Code<'_>> = codes.collect();
    let coder = Coder::new(plain.features, rule, &codes)?;
    let child = |child: Child| match child {
        Child::Split(split) => traverse::Child::Split(split),
        Child::Leaf(leaf) => traverse::Child::Leaf(leaf),
    };
    let splits = plain.trees.iter().map(|tree| {
        let split = |split: &trees::predict::PlainSplit| Split {
            code: u32::from(split.question.code),
            cut: split.question.cut,
            left: child(split.left),
            right: child(split.right),
        };
        tree.splits.iter().map(split).collect()
    });
    let splits: Vec<Vec<Split>> = splits.collect();
    let trees = plain.trees.iter().zip(&splits);
    let trees: Vec<Tree<'_>> =
        trees.map(|(tree, splits)| Tree { splits, values: &tree.values, output: tree.output }).collect();
    Ok((coder, traverse::Forest::new(plain.codes.len(), plain.width, &trees)?))
}

/// Rows of f64 as f32; none when a number is no f32.
fn narrow(wide: &[f64]) -> Option<Vec<f32>> {
    let each = |x: &f64| Some(*x as f32).filter(|narrow| f64::from(*narrow) == *x || x.is_nan());
    wide.iter().map(each).collect()
}

/// A kernel's error in the contract's words.
fn failed(device: &str, error: &Error) -> RunError {
    match error {
        Error::DeviceLost(reason) => RunError::DeviceLost { device: device.to_owned(), reason: reason.clone() },
        Error::Device(reason) => failure(device.to_owned(), reason.clone()),
        error => RunError::Failed { reason: format!("device {device}: {error}") },
    }
}
