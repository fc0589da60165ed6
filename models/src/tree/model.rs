//! An ensemble as a model that answers requests.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use contract::{
    AlignedBuffer, Cost, Device, DeviceKind, Direct, Explain, Golden, InputError, Invariance, Model, OpenError,
    Replica, RowBlock, RunError, Signature, Tensor,
};
use trees::{Ensemble, Explainer, ensemble::Precision, predict::Predictor};

use super::{inputs::Inputs, outputs};
use crate::{artifact::Artifact, host_replica::HostReplica};

/// Row counts by which batches on the CPU are timed: nothing is compiled for them and nothing is padded.
const BUCKETS: [usize; 22] =
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096];

/// A tree model over a table's columns.
pub struct TreeModel {
    signature: Signature,
    inputs: Inputs,
    forest: Arc<Forest>,
    golden: Option<Golden>,
    /// Made when it is first asked for: it takes time, and memory beside the trees.
    explainer: OnceLock<Result<Explanations, String>>,
}

/// What explains a forest's answers.
struct Explanations {
    explainer: Explainer,
    forest: Arc<Forest>,
}

/// What any thread may run.
pub(super) struct Forest {
    predictor: Predictor,
}

impl TreeModel {
    /// A model of `predictor`'s ensemble.
    pub(crate) fn new(predictor: Predictor, golden: Option<Golden>) -> Self {
        let ensemble = predictor.ensemble();
        let inputs = Inputs::new(ensemble);
        let signature = Signature {
            inputs: inputs.specs(),
            outputs: outputs::specs(ensemble),
            columns: inputs.columns().to_vec(),
            task: outputs::task(ensemble),
        };
        Self { signature, inputs, forest: Arc::new(Forest { predictor }), golden, explainer: OnceLock::new() }
    }

    /// Opens the artifact in `directory`.
    ///
    /// # Errors
    /// [`OpenError`], naming the file that is missing, cut, altered, or of another kind.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        super::format::open(&Artifact::open(directory)?)
    }

    /// The trees.
    #[must_use]
    pub fn ensemble(&self) -> &Ensemble {
        self.forest.predictor.ensemble()
    }

    /// The features of row number `row` of encoded rows.
    pub(crate) fn features(&self, rows: &RowBlock, row: usize) -> Vec<f64> {
        self.forest.features(rows, row)
    }

    /// The trees, ready to answer.
    #[must_use]
    pub fn predictor(&self) -> &Predictor {
        &self.forest.predictor
    }
}

impl Model for TreeModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// On the CPU leaves are added in the order of the trees, on a GPU as integers: either way a row's bits are its own.
    fn invariance(&self) -> Invariance {
        Invariance::Exact
    }

    fn buckets(&self, device: DeviceKind) -> &[usize] {
        match device {
            #[cfg(feature = "gpu")]
            DeviceKind::Wgpu | DeviceKind::Vulkan | DeviceKind::Cuda => &super::replica::BUCKETS,
            #[cfg(not(feature = "gpu"))]
            DeviceKind::Wgpu | DeviceKind::Vulkan | DeviceKind::Cuda => &BUCKETS,
            DeviceKind::Cpu => &BUCKETS,
        }
    }

    fn encode(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<Cost, InputError> {
        Ok(Cost { rows: self.inputs.encode(inputs, rows)?, class: 0 })
    }

    fn decode(&self, raw: &RowBlock, wanted: &[String]) -> Result<Vec<Tensor>, InputError> {
        let mut margins = raw.data().as_slice::<f64>().to_vec();
        outputs::decode(self.ensemble(), &self.signature, &mut margins, wanted)
    }

    /// On the device, or on the host where the device cannot walk these trees.
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "without GPUs there is one place"))]
    fn place(&self, device: &Device) -> Result<Box<dyn Replica>, RunError> {
        #[cfg(feature = "gpu")]
        if device.kind != DeviceKind::Cpu
            && let Some(replica) = super::replica::DeviceReplica::new(&self.forest, self.inputs.row_bytes(), device)?
        {
            return Ok(Box::new(replica));
        }
        let bytes = self.forest.predictor.bytes();
        Ok(Box::new(HostReplica::new(Arc::clone(&self.forest) as Arc<dyn Direct>, self.inputs.row_bytes(), bytes)))
    }

    fn direct(&self) -> Option<&dyn Direct> {
        Some(&*self.forest)
    }

    fn explain(&self) -> Result<&dyn Explain, InputError> {
        let made = self.explainer.get_or_init(|| {
            let explainer = Explainer::new(self.ensemble()).map_err(|error| error.to_string())?;
            Ok(Explanations { explainer, forest: Arc::clone(&self.forest) })
        });
        match made {
            Ok(explanations) => Ok(explanations),
            Err(reason) => Err(InputError::Unexplained { reason: reason.clone() }),
        }
    }

    fn golden(&self) -> Option<&Golden> {
        self.golden.as_ref()
    }
}

impl Forest {
    /// What finds and adds up their leaves.
    #[cfg(feature = "gpu")]
    pub(super) const fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// The features of row number `row` of encoded rows.
    fn features(&self, rows: &RowBlock, row: usize) -> Vec<f64> {
        let ensemble = self.predictor.ensemble();
        let features = ensemble.features.len();
        let at = row * features..(row + 1) * features;
        match ensemble.rules.compare {
            Precision::F32 => rows.data().as_slice::<f32>()[at].iter().map(|value| f64::from(*value)).collect(),
            Precision::F64 => rows.data().as_slice::<f64>()[at].to_vec(),
        }
    }
}

impl Explain for Explanations {
    fn margins(&self) -> usize {
        self.forest.predictor.ensemble().output.width
    }

    fn columns(&self) -> usize {
        self.forest.predictor.ensemble().columns.len()
    }

    fn row(&self, rows: &RowBlock, row: usize, out: &mut [f64]) -> Result<(), RunError> {
        if row >= rows.rows() {
            return Err(RunError::Failed { reason: format!("expected one of {} rows, got row {row}", rows.rows()) });
        }
        let features = self.forest.features(rows, row);
        self.explainer.values(&features, out).map_err(|error| RunError::Failed { reason: error.to_string() })
    }
}

impl Direct for Forest {
    fn run(&self, rows: &RowBlock, _scratch: &mut AlignedBuffer, out: &mut RowBlock) -> Result<(), RunError> {
        let ensemble = self.predictor.ensemble();
        let width = ensemble.output.width;
        out.reset(width * size_of::<f64>());
        out.data_mut().resize(rows.rows() * width * size_of::<f64>());
        let margins = out.data_mut().as_mut_slice::<f64>();
        let answered = match (ensemble.features.is_empty(), ensemble.rules.compare) {
            (true, _) => self.predictor.margins_here::<f32>(&[], margins),
            (false, Precision::F32) => self.predictor.margins_here(rows.data().as_slice::<f32>(), margins),
            (false, Precision::F64) => self.predictor.margins_here(rows.data().as_slice::<f64>(), margins),
        };
        answered.map_err(|error| RunError::Failed { reason: error.to_string() })
    }
}
