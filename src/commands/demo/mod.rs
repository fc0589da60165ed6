//! `emberline demo`: the whole way from a table to a monitored prediction API, on this machine, with nothing else at hand.

mod report;
mod table;
mod traffic;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Result, bail};
use clap::Args;
use contract::{DeviceSelector, TrainEvent, VersionMetadata};
use engine::{
    Engine,
    jobs::{JobState, Jobs},
};

use self::{
    report::{Report, TableFacts, VersionFacts},
    table::{TARGET, Wines},
    traffic::Api,
};
use server::{boot, settings::ServerSettings};

use crate::{
    commands::serve,
    home::control_runtime,
    terminal::{TrainingBar, note, print, print_json},
};

/// Name of the demo's model and of its feature view.
const MODEL: &str = "wine";
/// The two versions: a small net, and a larger one with other settings. Each line is what a person would type.
const VERSIONS: [&[&str]; 2] = [
    &["--hidden", "32", "--learning-rate", "0.003", "--dropout", "0", "--epochs", "60"],
    &["--hidden", "128,128", "--learning-rate", "0.001", "--dropout", "0.2", "--epochs", "120"],
];

/// Train, register, serve and watch a model on a real table.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Stops after the report.
    #[arg(long)]
    once: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    /// Device to train and serve on: auto, cpu, gpu, gpu:N, vulkan:N or cuda:N.
    #[arg(long, env = "EMBERLINE_DEVICE", default_value = "auto")]
    device: DeviceSelector,
    /// Address of the API; any free port when not given.
    #[arg(long, env = "EMBERLINE_HTTP", default_value = "127.0.0.1:0", value_name = "ADDR")]
    http: String,
    /// Keeps registry, artifacts and features in this folder; a temporary one when not given.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs the demo.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let temporary = tempfile::tempdir()?;
    let folder = arguments.keep.as_deref().unwrap_or(temporary.path());
    let settings = settings(arguments, folder)?;
    let device = ::models::device::resolve(&arguments.device)?;

    let wines = table::wines();
    let training_rows = wines.rows.iter().filter(|wine| !wine.live).count();
    let csv = folder.join("wine-quality.csv");
    fs_err::create_dir_all(folder)?;
    wines.write_training_rows(&csv)?;
    note(format!("{} wines, {} of them kept as traffic", wines.rows.len(), wines.rows.len() - training_rows));

    let control = control_runtime()?;
    let engine = control.block_on(serve::open(&settings, vec![device.clone()], control.handle()))?;
    let trained = control.block_on(train_versions(&engine, &csv, arguments.device))?;
    let champion = champion(&trained);
    let server = boot::start(&settings, Arc::clone(&engine))?;
    let loading = Instant::now();
    for version in trained.keys() {
        let alias = if *version == champion { "champion" } else { "challenger" };
        control.block_on(engine.registry.set_alias(MODEL, alias, *version))?;
    }
    // An alias keeps a version in service: both are loaded, warmed and tested when this returns.
    control.block_on(engine.refresh())?;
    let load_seconds = loading.elapsed().as_secs_f64();
    let url = format!("http://{}", server.address());
    note(format!("serving on {url}"));
    talk(&Api::new(&url), &wines, &trained)?;

    let report = Report {
        seconds: started.elapsed().as_secs_f64(),
        device: device.to_string(),
        device_name: device.name.clone(),
        table: TableFacts {
            name: "red wine quality",
            features: wines.features.len(),
            target: TARGET,
            training_rows,
            live_rows: wines.rows.len() - training_rows,
        },
        versions: trained.iter().map(|(version, metadata)| facts(*version, metadata)).collect(),
        champion,
        load_seconds,
        monitor: engine.monitor.snapshot(),
        feedback: engine.feedback.report(),
        curl: curl(&url, &wines),
        url,
    };
    if arguments.json {
        print_json(&report)?;
    } else {
        print(report.text())?;
    }
    if !arguments.once {
        if !arguments.json {
            print(format!("\n{}", report.invitation()))?;
        }
        control.block_on(server.until_signal())?;
    }
    control.block_on(server.stop())?;
    Ok(())
}

/// The server's settings, with everything but address, device and home as it is by default.
fn settings(arguments: &Arguments, folder: &Path) -> Result<ServerSettings> {
    let mut flags: Vec<OsString> = vec!["--home".into(), folder.into()];
    flags.extend(["--http".into(), arguments.http.clone().into()]);
    flags.extend(["--device".into(), arguments.device.to_string().into()]);
    Ok(ServerSettings::from_flags(flags)?)
}

/// Trains every version in a child process of its own and registers it.
async fn train_versions(
    engine: &Arc<Engine>,
    csv: &Path,
    device: DeviceSelector,
) -> Result<BTreeMap<u32, VersionMetadata>> {
    let mut trained = BTreeMap::new();
    for (index, settings) in VERSIONS.iter().enumerate() {
        let mut words: Vec<String> = vec!["--data".to_owned(), csv.display().to_string()];
        words.extend(["--target", TARGET, "--name", MODEL, "--seed", "7"].map(str::to_owned));
        words.extend(["--device".to_owned(), device.to_string()]);
        words.extend(settings.iter().map(|word| (*word).to_owned()));
        let (version, metadata) = train(&engine.jobs, words, &format!("version {}", index + 1)).await?;
        trained.insert(version, metadata);
    }
    Ok(trained)
}

/// Trains one version as a job, under a progress bar.
async fn train(jobs: &Jobs, words: Vec<String>, title: &str) -> Result<(u32, VersionMetadata)> {
    let mut bar = TrainingBar::new(title, true);
    let id = jobs.start(words)?;
    let mut events = jobs.subscribe(&id)?;
    let mut registered = None;
    while let Some(event) = events.recv().await {
        bar.event(&event);
        if let TrainEvent::Registered { name: _, version, metadata } = event {
            registered = Some((version, *metadata));
        }
    }
    let status = jobs.wait(&id).await?;
    match (status.state, registered) {
        (JobState::Succeeded, Some(registered)) => Ok(registered),
        (state, _) => bail!("training {title} ended as {state:?}: {}", status.error.unwrap_or_default()),
    }
}

/// The version with the lowest RMSE on its validation rows, which are the same for all: same table, same seed.
fn champion(trained: &BTreeMap<u32, VersionMetadata>) -> u32 {
    let rmse = |metadata: &VersionMetadata| metadata.metrics.get("rmse").copied().unwrap_or(f64::INFINITY);
    let best = trained.iter().min_by(|(_, one), (_, other)| rmse(one).total_cmp(&rmse(other)));
    best.map_or(1, |(version, _)| *version)
}

/// The traffic: features in, every live wine through both versions, labels back, and once more through the cache.
fn talk(api: &Api, wines: &Wines, trained: &BTreeMap<u32, VersionMetadata>) -> Result<()> {
    api.load_features(MODEL, wines)?;
    for version in trained.keys() {
        let predictions = api.predict_entities(MODEL, &format!("&version={version}"), wines)?;
        api.feedback(&predictions)?;
    }
    for _ in 0..3 {
        api.predict_entities(MODEL, "", wines)?;
    }
    for rows in [1, 8, 64] {
        api.infer(MODEL, wines, rows)?;
    }
    Ok(())
}

fn facts(version: u32, metadata: &VersionMetadata) -> VersionFacts {
    let setting = |name: &str| metadata.hyper_parameters.get(name).map_or_else(String::new, ToString::to_string);
    VersionFacts {
        version,
        settings: format!(
            "{} {} · lr {} · dropout {}",
            metadata.kind,
            setting("hidden").replace('"', ""),
            setting("learning_rate"),
            setting("dropout")
        ),
        epochs: metadata.curves.len(),
        metadata: metadata.clone(),
    }
}

fn curl(url: &str, wines: &Wines) -> Vec<String> {
    let wine = wines.live().next().map_or("", |wine| &wine.id);
    let values = wines.rows.first().map_or_else(String::new, |wine| serde_json::json!(wine.values).to_string());
    let width = wines.features.len();
    vec![
        format!("curl '{url}/v1/predict/{MODEL}?ids={wine}'"),
        format!(
            "curl {url}/v2/models/{MODEL}/infer -d \
             '{{\"inputs\":[{{\"name\":\"features\",\"shape\":[1,{width}],\"datatype\":\"FP32\",\"data\":{values}}}]}}'"
        ),
        format!("curl {url}/v1/monitor"),
    ]
}
