//! Opens saved models of the kinds that this crate trains and imports.

use std::{io::Read, path::Path, sync::Arc};

use contract::{Axis, DataType, Device, DeviceKind, Format, Model, OpenError, Signature, TensorSpec, VersionMetadata};

use super::{
    head::Head,
    import::{ImportOptions, import_net},
    net::{InputForm, TableNet},
    settings::NetName,
    weights,
};
use crate::{
    Error,
    artifact::{Artifact, MANIFEST_FILE, Manifest, WEIGHTS_ROLE},
    identity::{self, IDENTITY_KIND},
    import::begins_weights,
    tree::{self, TREES_KIND, TreeImport, import_trees},
};

/// Kind of an imported net: weights alone, one tensor in and one out.
pub const DENSE_KIND: &str = "dense";

/// Opens artifacts of every kind of this crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Formats {
    cpu_only: bool,
}

impl Formats {
    /// For models that may be placed on any device.
    #[must_use]
    pub const fn new() -> Self {
        Self { cpu_only: false }
    }

    /// For models that are placed on `devices` only. When all of them are the CPU, nets can promise that a row's answer does
    /// not depend on its batch.
    #[must_use]
    pub fn for_devices(devices: &[Device]) -> Self {
        Self { cpu_only: devices.iter().all(|device| device.kind == DeviceKind::Cpu) }
    }

    /// Opens the net in `directory`.
    ///
    /// # Errors
    /// As [`Format::open`].
    pub fn open_net(&self, directory: &Path) -> Result<TableNet, OpenError> {
        self.net(&Artifact::open(directory)?)
    }

    fn net(self, artifact: &Artifact) -> Result<TableNet, OpenError> {
        let manifest = artifact.manifest();
        let content = |(expected, got): (String, String)| OpenError::Content {
            path: artifact.directory().join(MANIFEST_FILE),
            expected,
            got,
        };
        let (input, head) = match manifest.kind.as_str() {
            DENSE_KIND => dense_parts(&manifest.signature).map_err(content)?,
            kind if kind.parse::<NetName>().is_ok() => table_parts(manifest).map_err(content)?,
            kind => {
                let nets = NetName::ALL.map(NetName::as_str).join(", ");
                let known = format!("{nets}, {DENSE_KIND}, {IDENTITY_KIND}, {TREES_KIND}");
                return Err(OpenError::UnknownKind { kind: kind.to_owned(), known });
            }
        };
        let weights = Arc::new(weights::read(&artifact.read(WEIGHTS_ROLE)?, &artifact.path(WEIGHTS_ROLE))?);
        let found = NetName::of(&weights.shape.body, &weights.shape.embedding);
        if found.as_str() != manifest.kind && manifest.kind != DENSE_KIND {
            return Err(content((format!("weights of kind {}", manifest.kind), format!("those of kind {found}"))));
        }
        let signature = manifest.signature.clone();
        let net = TableNet::new(signature, input, head, weights, artifact.golden()?, self.cpu_only);
        net.check().map_err(content)?;
        Ok(net)
    }
}

impl Format for Formats {
    fn open(&self, directory: &Path) -> Result<Arc<dyn Model>, OpenError> {
        let artifact = Artifact::open(directory)?;
        match artifact.manifest().kind.as_str() {
            IDENTITY_KIND => Ok(Arc::new(identity::open(&artifact)?)),
            TREES_KIND => Ok(Arc::new(tree::open(&artifact)?)),
            _ => Ok(Arc::new(self.net(&artifact)?)),
        }
    }

    /// A tree model of any format, or a dense net with the names of [`ImportOptions::default`].
    fn import(&self, file: &Path, directory: &Path) -> Result<VersionMetadata, OpenError> {
        let unreadable =
            |error: &dyn std::error::Error| OpenError::Read { path: file.to_owned(), reason: error.to_string() };
        let mut head = Vec::new();
        let opened = fs_err::File::open(file).and_then(|opened| opened.take(9).read_to_end(&mut head));
        opened.map_err(|error| unreadable(&error))?;
        let imported = if begins_weights(&head) {
            import_net(file, directory, &ImportOptions::default()).map(|imported| imported.metadata)
        } else {
            import_trees(file, directory, &TreeImport::default()).map(|imported| imported.metadata)
        };
        imported.map_err(|error| match error {
            Error::Open(error) => error,
            error => unreadable(&error),
        })
    }
}

/// What was expected and what came.
type Misfit = (String, String);

/// What a net trained on a table has: encoders, target and task.
fn table_parts(manifest: &Manifest) -> Result<(InputForm, Head), Misfit> {
    let missing = |what: &str| (format!("{what} in a manifest of kind {}", manifest.kind), "none".to_owned());
    let encoders = manifest.encoders.clone().ok_or_else(|| missing("encoders"))?;
    let target = manifest.target.as_ref().ok_or_else(|| missing("a target"))?;
    let task = manifest.signature.task.as_ref().ok_or_else(|| missing("a task"))?;
    let head = Head::new(target, task.loss);
    if head.task_spec(task.loss).as_ref() != Some(task) {
        return Err((
            "a task that fits the target".to_owned(),
            format!("{} with {} classes", task.task, task.classes.len()),
        ));
    }
    if manifest.signature.inputs != encoders.inputs() {
        return Err(("the encoders' inputs in the signature".to_owned(), manifest.signature.describe_inputs()));
    }
    Ok((InputForm::Table(Box::new(encoders)), head))
}

fn dense_parts(signature: &Signature) -> Result<(InputForm, Head), Misfit> {
    let (name, width) =
        plain(&signature.inputs).ok_or_else(|| ("one input FP32 [-1, n]".to_owned(), signature.describe_inputs()))?;
    let (_, outputs) = plain(&signature.outputs)
        .ok_or_else(|| ("one output FP32 [-1, k]".to_owned(), signature.describe_outputs()))?;
    Ok((InputForm::Plain { name: name.to_owned(), width }, Head::Scores { width: outputs }))
}

/// Name and width of the only tensor, when it is FP32 `[-1, width]`.
fn plain(specs: &[TensorSpec]) -> Option<(&str, usize)> {
    match specs {
        [TensorSpec { name, datatype: DataType::Fp32, shape }] => match shape.as_slice() {
            [Axis::Batch, Axis::Fixed(width)] if *width > 0 => Some((name, *width)),
            _ => None,
        },
        _ => None,
    }
}
