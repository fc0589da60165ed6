//! `emberline models`: what the registry holds.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use engine::{
    registry::{ModelVersion, RegisteredModel, Registry, VersionSelector, parse_model_reference},
    serve::ModelServing,
};
use serde::Serialize;
use server::settings::{StoreSettings, parse_duration};

use crate::{
    home::{control_runtime, open_registry},
    terminal::{bytes, print, print_json, quality, table, thousands},
};

/// List, show, alias and delete models.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    stores: StoreSettings,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// All models with their versions and aliases.
    List,
    /// One version with everything that is known about it.
    Show {
        /// NAME, NAME:VERSION or NAME@ALIAS; without a version the alias `champion`, else the newest.
        model: String,
        /// Draws the losses by epoch into this file.
        #[arg(long, value_name = "FILE.svg")]
        plot: Option<PathBuf>,
    },
    /// Points an alias at a version; requests without a version go to the alias `champion`.
    Alias {
        /// Model name.
        name: String,
        /// Alias, such as champion.
        alias: String,
        /// Version number.
        #[arg(required_unless_present = "remove")]
        version: Option<u32>,
        /// Removes the alias instead.
        #[arg(long, conflicts_with = "version")]
        remove: bool,
    },
    /// Shows or changes how a model is served; what serves follows within about a second, without a reload.
    Serving {
        /// Model name.
        name: String,
        /// Sets a setting, such as `instances=2`, `slo=5ms` or `cache_ttl=0`; may be given several times.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Leaves a setting to the process that serves; may be given several times.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Deletes a version, or a model with all its versions.
    Delete {
        /// NAME:VERSION, or NAME together with --all.
        model: String,
        /// Deletes every version of the model.
        #[arg(long)]
        all: bool,
    },
}

/// What changed, for `--json`.
#[derive(Serialize)]
struct Change<'a> {
    model: &'a str,
    change: &'a str,
    version: Option<u32>,
    alias: Option<&'a str>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let control = control_runtime()?;
    control.block_on(async {
        let registry = open_registry(&arguments.stores, control.handle()).await?;
        match &arguments.command {
            Command::List => list(&registry, arguments.json).await,
            Command::Show { model, plot } => show(&registry, model, plot.as_deref(), arguments.json).await,
            Command::Alias { name, alias, version, remove: _ } => {
                match version {
                    Some(version) => registry.set_alias(name, alias, *version).await?,
                    None => registry.remove_alias(name, alias).await?,
                }
                let change = if version.is_some() { "alias set" } else { "alias removed" };
                tell(arguments.json, &Change { model: name, change, version: *version, alias: Some(alias) })
            }
            Command::Serving { name, set, unset } => serving(&registry, name, set, unset, arguments.json).await,
            Command::Delete { model, all } => delete(&registry, model, *all, arguments.json).await,
        }
    })
}

async fn list(registry: &Registry, json: bool) -> Result<()> {
    let models = registry.models().await?;
    if json {
        return print_json(&models);
    }
    if models.is_empty() {
        return print("no models yet; `emberline train` or `emberline import` makes one");
    }
    let header = ["model", "version", "aliases", "kind", "task", "quality", "rows", "created", "size"];
    let rows: Vec<Vec<String>> =
        models.iter().flat_map(|model| model.versions.iter().map(|version| row(model, version))).collect();
    print(table(&header, &rows, &[1, 6, 8]))
}

fn row(model: &RegisteredModel, version: &ModelVersion) -> Vec<String> {
    let metadata = &version.metadata;
    vec![
        model.name.clone(),
        version.version.to_string(),
        aliases_of(model, version.version).join(", "),
        metadata.kind.clone(),
        metadata.task.map_or_else(String::new, |task| task.to_string()),
        quality(metadata),
        metadata.training_rows.map_or_else(String::new, thousands),
        version.created_at.format("%Y-%m-%d %H:%M").to_string(),
        bytes(version.size_bytes),
    ]
}

fn aliases_of(model: &RegisteredModel, version: u32) -> Vec<String> {
    model.aliases.iter().filter(|(_, aliased)| **aliased == version).map(|(alias, _)| alias.clone()).collect()
}

async fn show(registry: &Registry, reference: &str, plot: Option<&Path>, json: bool) -> Result<()> {
    let (name, selector) = parse_model_reference(reference)?;
    let version = registry.resolve(&name, &selector).await?;
    if let Some(file) = plot {
        let title = format!("{} version {}", version.name, version.version);
        fs_err::write(file, crate::plot::curves(&title, &version.metadata.curves)?)?;
    }
    if json {
        return print_json(&version);
    }
    let model = registry.model(&name).await?;
    let metadata = &version.metadata;
    let mut rows: Vec<(&str, String)> = vec![
        ("model", format!("{} version {}", version.name, version.version)),
        ("aliases", aliases_of(&model, version.version).join(", ")),
        ("kind", metadata.kind.clone()),
        ("task", metadata.task.map_or_else(String::new, |task| task.to_string())),
        ("quality", quality(metadata)),
        ("loss", metadata.loss.map_or_else(String::new, |loss| loss.to_string())),
        ("author", metadata.author.clone().unwrap_or_default()),
        ("created", version.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        ("trained for", metadata.seconds_trained.map_or_else(String::new, |seconds| format!("{seconds:.1} s"))),
        ("ended by", metadata.training_end.map_or_else(String::new, |end| format!("{end:?}").to_lowercase())),
        ("device", metadata.device.clone().unwrap_or_default()),
        (
            "target",
            metadata
                .target
                .as_ref()
                .map_or_else(String::new, |target| format!("{} ({})", target.name, target.kind.name())),
        ),
        (
            "features",
            metadata
                .features
                .iter()
                .map(|column| format!("{} ({})", column.name, column.kind.name()))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("training rows", metadata.training_rows.map_or_else(String::new, thousands)),
        ("data digest", metadata.data_digest.clone().unwrap_or_default()),
        ("parent", metadata.parent.map_or_else(String::new, |parent| parent.to_string())),
        ("source", metadata.source.clone().unwrap_or_default()),
        ("git commit", metadata.git_commit.clone().unwrap_or_default()),
        (
            "packages",
            metadata.packages.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", "),
        ),
        ("location", version.location.clone()),
        ("size", bytes(version.size_bytes)),
    ];
    let settings: Vec<_> = metadata.hyper_parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
    rows.push(("settings", settings.join(", ")));
    let known = rows.into_iter().filter(|(_, value)| !value.is_empty());
    print(known.map(|(name, value)| format!("{name:<14} {value}")).collect::<Vec<_>>().join("\n"))
}

async fn serving(registry: &Registry, name: &str, set: &[String], unset: &[String], json: bool) -> Result<()> {
    let mut settings = registry.model(name).await?.serving;
    for assignment in set {
        let Some((key, value)) = assignment.split_once('=') else {
            anyhow::bail!("expected KEY=VALUE such as instances=2 behind --set, got '{assignment}'")
        };
        let (key, value) = serving_setting(key.trim(), value.trim())?;
        settings.set(&key, Some(value))?;
    }
    for key in unset {
        settings.set(&serving_name(key), None)?;
    }
    if !(set.is_empty() && unset.is_empty()) {
        registry.set_serving(name, settings.clone()).await?;
    }
    if json {
        return print_json(&settings);
    }
    let rows = serde_json::to_value(&settings)?;
    let shown = |name: &str| match rows.get(name).and_then(serde_json::Value::as_u64) {
        None => format!("{name:<20} as the process has it"),
        Some(value) => format!("{name:<20} {value}"),
    };
    print(ModelServing::NAMES.map(shown).join("\n"))
}

/// The full name of a setting: that of a time may go without its unit.
fn serving_name(key: &str) -> String {
    let timed = format!("{key}_us");
    if ModelServing::NAMES.contains(&timed.as_str()) { timed } else { key.to_owned() }
}

/// A setting with its value: a whole number, or for a time that is named without its unit a duration.
fn serving_setting(key: &str, value: &str) -> Result<(String, u64)> {
    let name = serving_name(key);
    if name != key {
        let time = parse_duration(value).map_err(|error| anyhow::anyhow!("{key}: {error}"))?;
        return Ok((name, u64::try_from(time.as_micros())?));
    }
    // An unknown name is told before its value.
    ModelServing::default().set(key, None)?;
    let number = value.parse().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.ok_or_else(|| anyhow::anyhow!("expected a whole number as {key}, got '{value}'"))?;
    Ok((name, number))
}

async fn delete(registry: &Registry, reference: &str, all: bool, json: bool) -> Result<()> {
    let (name, selector) = parse_model_reference(reference)?;
    match (selector, all) {
        (VersionSelector::Default, true) => {
            registry.delete_model(&name).await?;
            tell(json, &Change { model: &name, change: "deleted with all versions", version: None, alias: None })
        }
        (VersionSelector::Version(version), false) => {
            registry.delete_version(&name, version).await?;
            tell(json, &Change { model: &name, change: "deleted", version: Some(version), alias: None })
        }
        (VersionSelector::Default | VersionSelector::Alias(_) | VersionSelector::Version(_), _) => {
            anyhow::bail!(
                "expected NAME:VERSION, or NAME with --all, got '{reference}'{}",
                if all { " with --all" } else { "" }
            )
        }
    }
}

fn tell(json: bool, change: &Change<'_>) -> Result<()> {
    if json {
        return print_json(change);
    }
    let version = change.version.map_or_else(String::new, |version| format!(" version {version}"));
    let alias = change.alias.map_or_else(String::new, |alias| format!(" '{alias}'"));
    print(format!("{}{version}: {}{alias}", change.model, change.change))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_durations_and_the_rest_whole_numbers() {
        let read = |key: &str, value: &str| serving_setting(key, value).map_err(|error| error.to_string());
        assert_eq!(read("slo", "5ms"), Ok(("slo_us".to_owned(), 5000)));
        assert_eq!(read("slo_us", "5000"), Ok(("slo_us".to_owned(), 5000)));
        assert_eq!(read("cache_ttl", "0"), Ok(("cache_ttl_us".to_owned(), 0)));
        assert_eq!(read("instances", "2"), Ok(("instances".to_owned(), 2)));
        assert_eq!(read("instances", "+2").unwrap_err(), "expected a whole number as instances, got '+2'");
        assert!(read("slo", "5").unwrap_err().starts_with("slo: expected a duration such as"));
        assert!(read("slow", "5").unwrap_err().starts_with("expected one of the settings max_batch_rows, "));
        for name in ModelServing::NAMES {
            let short = name.trim_end_matches("_us");
            assert_eq!(serving_name(short), name);
        }
    }
}
