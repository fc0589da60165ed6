//! The fake model's host half.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use contract::{
    AlignedBuffer, ColumnKind, ColumnSpec, Cost, DataType, Device, DeviceKind, Direct, Explain, Golden, InputError,
    Invariance, LossKind, Model, Replica, RowBlock, RunError, Signature, Task, TaskSpec, Tensor, TensorSpec,
};
use serde::{Deserialize, Serialize};

use super::{
    probe::{FakeProbe, panic_as_told},
    replica::FakeReplica,
};

/// Name of the input that holds all features of a row.
const FEATURES: &str = "features";
/// Name of the output that is the sum of the features plus the offset.
const SUM: &str = "y";
/// Name of the output that is twice that.
const TWICE: &str = "twice";

/// What a fake model does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "faults are on or off, each for itself")]
pub struct FakeSettings {
    /// Features of a row, named `x0`, `x1`, …
    pub width: usize,
    /// Added to every answer.
    pub offset: f32,
    /// Time of a batch on the device, in microseconds.
    pub batch_micros: u64,
    /// Row counts that it compiles for.
    pub buckets: Vec<usize>,
    /// A batch that holds this value panics when it is submitted.
    pub panic_on: Option<f32>,
    /// A batch that holds this value panics when it is collected.
    pub panic_late_on: Option<f32>,
    /// A batch that holds this value fails.
    pub fail_on: Option<f32>,
    /// A batch that holds this value loses the device.
    pub lose_device_on: Option<f32>,
    /// A request that holds this value panics in [`Model::encode`].
    pub panic_encoding_on: Option<f32>,
    /// Warming this bucket fails.
    pub fail_warming: Option<usize>,
    /// Whether any thread may run it; then `batch_micros` is the time of a row, and the device's faults are the run's.
    pub direct: bool,
    /// Whether it explains its answers, and how long that takes a row, in microseconds.
    pub explain_micros: Option<u64>,
    /// Whether it has golden answers.
    pub golden: bool,
    /// Whether its golden answers are wrong.
    pub wrong_golden: bool,
    /// Whether its probe lists every batch; long runs would fill memory with that.
    pub list_batches: bool,
}

impl Default for FakeSettings {
    fn default() -> Self {
        Self {
            width: 2,
            offset: 0.0,
            batch_micros: 0,
            buckets: vec![1, 8, 64, 512],
            panic_on: None,
            panic_late_on: None,
            fail_on: None,
            lose_device_on: None,
            panic_encoding_on: None,
            fail_warming: None,
            direct: false,
            explain_micros: Some(0),
            golden: true,
            wrong_golden: false,
            list_batches: true,
        }
    }
}

/// A model that adds numbers up, and fails on demand.
#[derive(Debug)]
pub struct FakeModel {
    settings: FakeSettings,
    signature: Signature,
    golden: Option<Golden>,
    revision: AtomicU64,
    probe: Arc<FakeProbe>,
}

impl FakeModel {
    /// A model that does what `settings` says.
    #[must_use]
    pub fn new(settings: FakeSettings) -> Self {
        let column = |index| ColumnSpec { name: format!("x{index}"), kind: ColumnKind::Numeric };
        let signature = Signature {
            inputs: vec![TensorSpec::rows(FEATURES, DataType::Fp32, settings.width)],
            outputs: vec![TensorSpec::rows(SUM, DataType::Fp32, 1), TensorSpec::rows(TWICE, DataType::Fp32, 1)],
            columns: (0..settings.width).map(column).collect(),
            task: Some(TaskSpec {
                task: Task::Regression,
                classes: Vec::new(),
                score: SUM.to_owned(),
                loss: LossKind::Squared,
            }),
        };
        let golden = settings.golden.then(|| golden(&settings)).flatten();
        Self { settings, signature, golden, revision: AtomicU64::new(0), probe: Arc::new(FakeProbe::default()) }
    }

    /// A model that adds `offset` and does nothing else out of the ordinary.
    #[must_use]
    pub fn with_offset(offset: f32) -> Self {
        Self::new(FakeSettings { offset, ..FakeSettings::default() })
    }

    /// What was done to it; keeps working when the model is gone.
    #[must_use]
    pub fn probe(&self) -> Arc<FakeProbe> {
        Arc::clone(&self.probe)
    }

    /// Moves the revision, as an online learner does.
    pub fn revise(&self) {
        self.revision.fetch_add(1, Ordering::SeqCst);
    }

    /// An input of its first form: one row of features behind the other.
    ///
    /// # Errors
    /// [`InputError::ElementCount`] when `values` does not hold whole rows.
    pub fn input(&self, values: &[f32]) -> Result<Tensor, InputError> {
        let width = self.settings.width;
        Tensor::from_values(FEATURES, vec![values.len() / width.max(1), width], values)
    }

    fn bad_input(&self, name: &str) -> InputError {
        InputError::UnknownInput { name: name.to_owned(), expected: self.signature.describe_inputs() }
    }

    /// One tensor that holds all columns.
    fn encode_features(&self, input: &Tensor, rows: &mut RowBlock) -> Result<usize, InputError> {
        let width = self.settings.width;
        match *input.shape() {
            [count, got] if got == width => {
                for value in numbers(input)? {
                    rows.data_mut().push(value);
                }
                Ok(count)
            }
            _ => Err(InputError::WrongShape {
                name: input.name().to_owned(),
                expected: format!("[-1, {width}]"),
                got: input.shape().to_vec(),
            }),
        }
    }

    /// One tensor for each column.
    fn encode_columns(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<usize, InputError> {
        let find = |column: &ColumnSpec| {
            let found = inputs.iter().find(|input| input.name() == column.name);
            found.ok_or_else(|| InputError::MissingInput { name: column.name.clone(), expected: "a number".to_owned() })
        };
        if let Some(extra) =
            inputs.iter().find(|input| self.signature.columns.iter().all(|column| column.name != input.name()))
        {
            return Err(self.bad_input(extra.name()));
        }
        let columns =
            self.signature.columns.iter().map(|column| numbers(find(column)?)).collect::<Result<Vec<_>, _>>()?;
        let count = columns.first().map_or(0, Vec::len);
        for row in 0..count {
            for column in &columns {
                rows.data_mut().push(column.get(row).copied().unwrap_or_default());
            }
        }
        Ok(count)
    }
}

impl Model for FakeModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn revision(&self) -> u64 {
        self.revision.load(Ordering::SeqCst)
    }

    fn invariance(&self) -> Invariance {
        Invariance::Exact
    }

    fn buckets(&self, _device: DeviceKind) -> &[usize] {
        &self.settings.buckets
    }

    fn encode(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<Cost, InputError> {
        self.probe.encodes.fetch_add(1, Ordering::SeqCst);
        rows.reset(self.settings.width * size_of::<f32>());
        let count = match inputs {
            [input] if input.name() == FEATURES => self.encode_features(input, rows)?,
            [] => {
                let expected = self.signature.describe_inputs();
                return Err(InputError::MissingInput { name: FEATURES.to_owned(), expected });
            }
            columns => self.encode_columns(columns, rows)?,
        };
        if holds(rows, self.settings.panic_encoding_on) {
            panic_as_told("while encoding");
        }
        Ok(Cost { rows: count, class: 0 })
    }

    fn decode(&self, raw: &RowBlock, wanted: &[String]) -> Result<Vec<Tensor>, InputError> {
        let sums = raw.data().as_slice::<f32>();
        let output = |name: &str| match name {
            SUM => Tensor::from_values(SUM, vec![sums.len(), 1], sums),
            TWICE => {
                let twice: Vec<f32> = sums.iter().map(|sum| 2.0 * sum).collect();
                Tensor::from_values(TWICE, vec![sums.len(), 1], &twice)
            }
            other => {
                let expected = self.signature.describe_outputs();
                Err(InputError::UnknownOutput { name: other.to_owned(), expected })
            }
        };
        if wanted.is_empty() {
            [SUM, TWICE].map(output).into_iter().collect()
        } else {
            wanted.iter().map(|name| output(name)).collect()
        }
    }

    fn place(&self, device: &Device) -> Result<Box<dyn Replica>, RunError> {
        self.probe.placements.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakeReplica::new(self.settings.clone(), device, Arc::clone(&self.probe))))
    }

    fn direct(&self) -> Option<&dyn Direct> {
        self.settings.direct.then_some(self)
    }

    fn explain(&self) -> Result<&dyn Explain, InputError> {
        let unexplained = || InputError::Unexplained { reason: "the fake model was told not to".to_owned() };
        self.settings.explain_micros.map(|_| self as &dyn Explain).ok_or_else(unexplained)
    }

    fn golden(&self) -> Option<&Golden> {
        self.golden.as_ref()
    }
}

/// Each column adds itself.
impl Explain for FakeModel {
    fn margins(&self) -> usize {
        1
    }

    fn columns(&self) -> usize {
        self.settings.width
    }

    fn row(&self, rows: &RowBlock, row: usize, out: &mut [f64]) -> Result<(), RunError> {
        self.probe.explained.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros(self.settings.explain_micros.unwrap_or_default()));
        let columns = rows.data().as_slice::<f32>().chunks(self.settings.width).nth(row).unwrap_or_default();
        for (out, value) in out.iter_mut().zip(columns.iter().chain([&self.settings.offset])) {
            *out = f64::from(*value);
        }
        Ok(())
    }
}

impl Direct for FakeModel {
    fn run(&self, rows: &RowBlock, _scratch: &mut AlignedBuffer, out: &mut RowBlock) -> Result<(), RunError> {
        self.probe.direct_runs.fetch_add(1, Ordering::SeqCst);
        if holds(rows, self.settings.panic_on) {
            panic_as_told("on the caller's thread");
        }
        if holds(rows, self.settings.fail_on) {
            return Err(RunError::Failed { reason: "the fake model was told to fail".to_owned() });
        }
        std::thread::sleep(self.settings.batch_time() * u32::try_from(rows.rows()).unwrap_or(u32::MAX));
        out.reset(size_of::<f32>());
        for row in rows.data().as_slice::<f32>().chunks(self.settings.width) {
            out.data_mut().push(row.iter().sum::<f32>() + self.settings.offset);
        }
        Ok(())
    }
}

impl FakeSettings {
    pub(super) fn batch_time(&self) -> Duration {
        Duration::from_micros(self.batch_micros)
    }
}

/// Whether a block holds a marker.
pub(super) fn holds(rows: &RowBlock, marker: Option<f32>) -> bool {
    marker.is_some_and(|marker| rows.data().as_slice::<f32>().contains(&marker))
}

/// Any number type as FP32; missing values count as 0.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>, InputError> {
    let values: Vec<f32> = if let Some(values) = tensor.values::<f32>() {
        values.to_vec()
    } else if let Some(values) = tensor.values::<f64>() {
        values.iter().map(|value| *value as f32).collect()
    } else if let Some(values) = tensor.values::<i64>() {
        values.iter().map(|value| *value as f32).collect()
    } else {
        return Err(InputError::WrongDatatype {
            name: tensor.name().to_owned(),
            expected: "FP32, FP64 or INT64".to_owned(),
            got: tensor.datatype(),
        });
    };
    let present = |(index, value): (usize, f32)| if tensor.is_valid(index) && !value.is_nan() { value } else { 0.0 };
    Ok(values.into_iter().enumerate().map(present).collect())
}

fn golden(settings: &FakeSettings) -> Option<Golden> {
    let width = settings.width;
    let inputs: Vec<f32> = (0..3 * width).map(|value| value as f32).collect();
    let wrong = if settings.wrong_golden { 1.0 } else { 0.0 };
    let sums: Vec<f32> =
        inputs.chunks(width.max(1)).map(|row| row.iter().sum::<f32>() + settings.offset + wrong).collect();
    Some(Golden {
        inputs: vec![Tensor::from_values(FEATURES, vec![3, width], &inputs).ok()?],
        outputs: vec![Tensor::from_values(SUM, vec![3, 1], &sums).ok()?],
        tolerance: 1e-6,
    })
}
