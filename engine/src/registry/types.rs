//! What the registry answers with. Plain data; the JSON forms are what `emberline models --json` and the API show.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::VersionMetadata;
use serde::{Deserialize, Serialize};

use crate::serve::ModelServing;

/// A model with its versions and aliases, as of one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisteredModel {
    /// Name.
    pub name: String,
    /// When its first version was published.
    pub created_at: DateTime<Utc>,
    /// Version numbers by alias.
    pub aliases: BTreeMap<String, u32>,
    /// How it is served, where that differs from the settings of the process.
    pub serving: ModelServing,
    /// Its versions, ascending; at least one.
    pub versions: Vec<ModelVersion>,
}

/// A published version. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// Model name.
    pub name: String,
    /// Number, from 1.
    pub version: u32,
    /// When it was published, to the microsecond.
    pub created_at: DateTime<Utc>,
    /// URL of the artifact's directory.
    pub location: String,
    /// Size of all files in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the artifact: of the lines `sha256sum` prints for its files, in the order of their names.
    pub digest: String,
    /// What training or import knew.
    #[serde(flatten)]
    pub metadata: VersionMetadata,
}

/// One change of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// Model name.
    pub model: String,
    /// What was done.
    pub change: Change,
    /// The version published, named or deleted; absent where the whole model was deleted.
    pub version: Option<u32>,
    /// The version that an alias named before.
    pub previous_version: Option<u32>,
    /// The alias.
    pub alias: Option<String>,
    /// How the model is served since, where that was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ModelServing>,
    /// Who did it, where that is known.
    pub actor: Option<String>,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A version was published.
    Published,
    /// An alias was set or moved.
    AliasSet,
    /// An alias was removed.
    AliasRemoved,
    /// It was said how the model is served.
    ServingSet,
    /// A version was deleted.
    VersionDeleted,
    /// A model was deleted with all its versions.
    ModelDeleted,
}

impl Change {
    /// All kinds.
    const ALL: [Self; 6] = [
        Self::Published,
        Self::AliasSet,
        Self::AliasRemoved,
        Self::ServingSet,
        Self::VersionDeleted,
        Self::ModelDeleted,
    ];

    /// The name in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::AliasSet => "alias_set",
            Self::AliasRemoved => "alias_removed",
            Self::ServingSet => "serving_set",
            Self::VersionDeleted => "version_deleted",
            Self::ModelDeleted => "model_deleted",
        }
    }

    /// The kind of this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.name() == name)
    }
}
