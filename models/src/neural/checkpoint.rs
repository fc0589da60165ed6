//! Training state on disk: one safetensors file (parameters, both moments of `AdamW`, their moving average and the best parameters so
//! far where there are any) whose header holds the rest (epoch, step, curves, best loss, seconds, and a fingerprint of what is
//! trained).
//!
//! The file is written beside, fsynced and renamed, so that a reader sees a whole checkpoint or the one before. There is no
//! generator state: what is random is a function of seed, epoch and step (see `sampler`).

use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
};

use contract::{CurvePoint, OpenError};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::precision::Scale;
use crate::{Error, Result};

/// Training state after a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) progress: Progress,
    /// Flat parameters.
    pub(crate) parameters: Vec<f32>,
    /// First moment of `AdamW`.
    pub(crate) moment_1: Vec<f32>,
    /// Second moment of `AdamW`.
    pub(crate) moment_2: Vec<f32>,
    /// Moving average of the parameters, in a run that has one.
    pub(crate) average: Option<Vec<f32>>,
    /// Parameters after the best epoch, once there is one.
    pub(crate) best_parameters: Option<Vec<f32>>,
}

/// The part of the state that is not tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Whole epochs done.
    pub(crate) epoch: usize,
    /// Steps done of the next one.
    pub(crate) step: usize,
    /// Sum of their mean losses.
    pub(crate) total: f64,
    /// Steps of `AdamW` done.
    pub(crate) steps: usize,
    /// Of the gradients, in a run that needs one.
    #[serde(default)]
    pub(crate) scale: Option<Scale>,
    /// Losses by epoch, in the target's own units.
    pub(crate) curves: Vec<CurvePoint>,
    /// The epoch with the lowest validation loss, and that loss, in the units trained in.
    pub(crate) best: Option<(usize, f64)>,
    /// Seconds trained.
    pub(crate) seconds: f64,
}

/// The part of a header that every version has.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    fingerprint: String,
    progress: Progress,
}

const FORMAT_VERSION: u32 = 2;
const HEADER_KEY: &str = "emberline";
const TENSORS: [&str; 3] = ["parameters", "moment_1", "moment_2"];
const MAYBE: [&str; 2] = ["average", "best_parameters"];

/// Where a run's checkpoints go.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    fingerprint: String,
}

impl Checkpoint {
    /// Checkpoints in `path` of a run that is told from others by `fingerprint`.
    pub(crate) fn new(path: &Path, fingerprint: String) -> Self {
        Self { path: path.to_owned(), fingerprint }
    }

    /// Replaces the checkpoint by `snapshot`.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk does not take it.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> Result<()> {
        let Snapshot { progress, parameters, moment_1, moment_2, average, best_parameters } = snapshot;
        let header = Header {
            format_version: FORMAT_VERSION,
            fingerprint: self.fingerprint.clone(),
            progress: progress.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|error| std::io::Error::other(error.to_string()))?;
        let always = TENSORS.iter().zip([parameters, moment_1, moment_2]);
        let maybe = MAYBE.iter().zip([average, best_parameters]);
        let maybe = maybe.filter_map(|(name, values)| values.as_ref().map(|values| (name, values)));
        let views = always.chain(maybe).map(|(name, values)| {
            TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values)).map(|view| (*name, view))
        });
        let bytes = views
            .collect::<std::result::Result<Vec<_>, _>>()
            .and_then(|views| safetensors::serialize(views, Some(HashMap::from([(HEADER_KEY.to_owned(), header)]))))
            .map_err(|error| std::io::Error::other(error.to_string()))?;

        if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs_err::create_dir_all(parent)?;
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let mut file = fs_err::File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs_err::rename(&beside, &self.path)?;
        Ok(())
    }

    /// Reads the checkpoint of a net with `parameters` parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] when there is none or it is of another run; [`OpenError::Content`] when it is damaged.
    pub(crate) fn load(&self, parameters: usize) -> Result<Snapshot> {
        let path = &self.path;
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let message = format!("there is nothing to resume: no checkpoint at {}", path.display());
                return Err(Error::Setting(message));
            }
            Err(error) => return Err(Error::Io(error)),
        };
        let damaged = |expected: &str, got: String| {
            Error::Open(OpenError::Content { path: path.clone(), expected: expected.to_owned(), got })
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged("a checkpoint", error.to_string()))?;
        let (_, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged("a checkpoint", error.to_string()))?;
        let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY));
        let header = header.ok_or_else(|| damaged("a checkpoint", "safetensors of another kind".to_owned()))?;
        let misread = |error: serde_json::Error| damaged("a checkpoint's header", error.to_string());
        let Version { format_version } = serde_json::from_str(header).map_err(misread)?;
        if format_version < FORMAT_VERSION {
            let message =
                format!("{} is the checkpoint of an older version; start again without resuming", path.display());
            return Err(Error::Setting(message));
        }
        if format_version > FORMAT_VERSION {
            let (got, newest) = (format_version, FORMAT_VERSION);
            return Err(Error::Open(OpenError::TooNew { path: path.clone(), got, newest }));
        }
        let header: Header = serde_json::from_str(header).map_err(misread)?;
        if header.fingerprint != self.fingerprint {
            return Err(Error::Setting(format!(
                "{} is the checkpoint of another run: only epochs, patience, time budget and device may change on resume",
                path.display()
            )));
        }
        let read = |name: &str| {
            let tensor = tensors
                .tensor(name)
                .map_err(|_| damaged(&format!("tensor '{name}'"), "none of this name".to_owned()))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != [parameters] {
                let got = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
                return Err(damaged(&format!("tensor '{name}' F32 [{parameters}]"), got));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
        };
        let [parameters, moment_1, moment_2] = TENSORS.map(read);
        let there = tensors.names();
        let [average, best_parameters] = MAYBE.map(|name| there.contains(&name).then(|| read(name)).transpose());
        Ok(Snapshot {
            progress: header.progress,
            parameters: parameters?,
            moment_1: moment_1?,
            moment_2: moment_2?,
            average: average?,
            best_parameters: best_parameters?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neural::Precision;

    fn snapshot() -> Snapshot {
        let point = CurvePoint { epoch: 1, training_loss: 0.1, validation_loss: 1.0 / 3.0, seconds: 0.5 };
        let progress = Progress {
            epoch: 1,
            step: 2,
            total: 0.1 + 0.2,
            steps: 5,
            scale: Scale::new(Precision::F16),
            curves: vec![point],
            best: Some((1, f64::from(0.1_f32) / 3.0)),
            seconds: 0.7,
        };
        Snapshot {
            progress,
            parameters: vec![1.0, f32::MIN_POSITIVE / 2.0],
            moment_1: vec![0.1, -0.2],
            moment_2: vec![1e-30, 0.0],
            average: Some(vec![3.0, 4.0]),
            best_parameters: Some(vec![1.0, 2.0]),
        }
    }

    #[test]
    fn reads_back_every_bit_and_leaves_no_part() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/checkpoint.safetensors");
        let checkpoint = Checkpoint::new(&path, "a".to_owned());
        checkpoint.save(&snapshot()).unwrap();
        checkpoint.save(&snapshot()).unwrap();
        assert_eq!(checkpoint.load(2).unwrap(), snapshot());
        let early = Snapshot { average: None, best_parameters: None, ..snapshot() };
        checkpoint.save(&early).unwrap();
        assert_eq!(checkpoint.load(2).unwrap(), early);
        assert_eq!(fs_err::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn refuses_another_run_another_net_and_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c");
        let checkpoint = Checkpoint::new(&path, "a".to_owned());
        assert!(checkpoint.load(2).unwrap_err().to_string().starts_with("there is nothing to resume"));
        checkpoint.save(&snapshot()).unwrap();
        let other = Checkpoint::new(&path, "b".to_owned()).load(2).unwrap_err().to_string();
        assert!(other.contains("another run"), "{other}");
        assert!(matches!(checkpoint.load(3), Err(Error::Open(OpenError::Content { .. }))));
        let bytes = fs_err::read(&path).unwrap();
        fs_err::write(&path, &bytes[..bytes.len() - 4]).unwrap();
        assert!(matches!(checkpoint.load(2), Err(Error::Open(OpenError::Content { .. }))));
    }
}
