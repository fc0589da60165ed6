//! What the demo tells at its end: as text for people, as JSON for programs.

use std::collections::BTreeMap;

use contract::{TrainingEnd, VersionMetadata};
use engine::{
    feedback::VersionFeedback,
    monitor::{MonitorReport, Stage, StageReport, VersionReport},
};
use serde::Serialize;

use crate::terminal::{bytes, micros, table, thousands};

/// The demo's report.
#[derive(Serialize)]
pub(super) struct Report {
    /// Seconds from the start of the demo to this report.
    pub(super) seconds: f64,
    /// Device that trains and serves, in its short form, and its name.
    pub(super) device: String,
    pub(super) device_name: String,
    /// The table.
    pub(super) table: TableFacts,
    /// The two versions.
    pub(super) versions: Vec<VersionFacts>,
    /// The version that answers when none is named.
    pub(super) champion: u32,
    /// Seconds in which both versions were named, loaded, warmed and tested.
    pub(super) load_seconds: f64,
    /// Everything the monitor counted, as `GET /v1/monitor` gives it.
    pub(super) monitor: MonitorReport,
    /// Online loss by version.
    pub(super) feedback: Vec<VersionFeedback>,
    /// Address of the API.
    pub(super) url: String,
    /// Lines to try.
    pub(super) curl: Vec<String>,
}

/// The table.
#[derive(Serialize)]
pub(super) struct TableFacts {
    pub(super) name: &'static str,
    pub(super) features: usize,
    pub(super) target: &'static str,
    /// Rows given to training, which holds some of them out to decide when to stop.
    pub(super) training_rows: usize,
    /// Rows kept as traffic.
    pub(super) live_rows: usize,
}

/// One version.
#[derive(Serialize)]
pub(super) struct VersionFacts {
    pub(super) version: u32,
    pub(super) settings: String,
    pub(super) epochs: usize,
    #[serde(flatten)]
    pub(super) metadata: VersionMetadata,
}

impl Report {
    /// The report as a person likes to read it.
    pub(super) fn text(&self) -> String {
        let Self { seconds, device, device_name, table: facts, versions: _, champion, load_seconds, monitor, .. } =
            self;
        let TableFacts { name, features, target, training_rows, live_rows } = facts;
        let mut parts = vec![
            format!(
                "EMBERLINE DEMO · {name}: {} rows, {features} features, target {target} · {device} ({device_name}) · {seconds:.1} s\n\
                 {training_rows} rows to learn from, {live_rows} kept as traffic that no version has seen",
                training_rows + live_rows
            ),
            section("Versions", &self.versions_table()),
            section("Online loss, from labels fed back for the traffic", &self.feedback_table()),
            section("Serving", &self.serving_table()),
            section("Latency", &self.latency_table()),
        ];
        let memory = monitor.process.rss_bytes.map_or_else(String::new, |rss| format!(" · {} resident", bytes(rss)));
        let busy: Vec<_> = monitor
            .devices
            .iter()
            .map(|one| format!("{} busy {:.1} %", one.device, one.busy_fraction * 100.0))
            .collect();
        parts.push(format!(
            "version {champion} is the champion · both in service within {:.0} ms · {}{memory}",
            load_seconds * 1000.0,
            busy.join(", ")
        ));
        parts.join("\n\n")
    }

    /// The address and the lines to try.
    pub(super) fn invitation(&self) -> String {
        let lines: Vec<_> = self.curl.iter().map(|line| format!("  {line}")).collect();
        format!("The API is at {} until Ctrl-C. Try:\n\n{}", self.url, lines.join("\n\n"))
    }

    fn versions_table(&self) -> String {
        let names = ["rmse", "mae", "r2"];
        let rows: Vec<Vec<String>> = self
            .versions
            .iter()
            .map(|one| {
                let end = match one.metadata.training_end {
                    Some(TrainingEnd::Completed) => "all epochs",
                    Some(TrainingEnd::EarlyStopped) => "early stop",
                    Some(TrainingEnd::TimeBudget) => "time budget",
                    Some(TrainingEnd::Interrupted) => "interrupted",
                    Some(TrainingEnd::Diverged) => "diverged",
                    None => "",
                };
                let mark = if one.version == self.champion { " ★" } else { "" };
                let mut row = vec![format!("{}{mark}", one.version), one.settings.clone()];
                row.extend(names.map(|name| number(one.metadata.metrics.get(name))));
                row.push(format!("{} ({end})", one.epochs));
                row.push(one.metadata.seconds_trained.map_or_else(String::new, |seconds| format!("{seconds:.1} s")));
                row
            })
            .collect();
        table(&["version", "settings", "RMSE", "MAE", "R²", "epochs", "trained"], &rows, &[2, 3, 4, 6])
    }

    fn feedback_table(&self) -> String {
        let names: Vec<&String> = self.feedback.first().map_or_else(Vec::new, |one| one.losses.keys().collect());
        let mut header = vec!["version", "labels"];
        header.extend(names.iter().map(|name| name.as_str()));
        let rows: Vec<Vec<String>> = self
            .feedback
            .iter()
            .map(|one| {
                let mut row = vec![one.version.to_string(), thousands(one.labelled)];
                row.extend(names.iter().map(|name| number(one.losses.get(*name).map(|loss| &loss.overall))));
                row
            })
            .collect();
        table(&header, &rows, &(1..header.len()).collect::<Vec<_>>())
    }

    fn serving_table(&self) -> String {
        let row = |one: &VersionReport| {
            let looked_up = one.cache.hits + one.cache.misses;
            let hits = if looked_up == 0 { 0.0 } else { one.cache.hits as f64 * 100.0 / looked_up as f64 };
            let largest = one.batch_sizes.last().and_then(|size| size.up_to_rows).unwrap_or_default();
            vec![
                one.version.to_string(),
                thousands(one.requests),
                thousands(one.rows),
                format!("{} ({hits:.0} %)", thousands(one.cache.hits)),
                thousands(one.batches),
                format!("{:.1}", one.mean_batch_rows),
                format!("≤ {largest}"),
                one.failures.values().sum::<u64>().to_string(),
            ]
        };
        let rows: Vec<_> = self.monitor.versions.iter().map(row).collect();
        let header = ["version", "requests", "rows", "cache hits", "batches", "mean rows", "largest", "failed"];
        table(&header, &rows, &[1, 2, 3, 4, 5, 6, 7])
    }

    fn latency_table(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .monitor
            .versions
            .iter()
            .flat_map(|one| stages(&one.stages).map(move |(name, stage)| (one.version, name, stage)))
            .map(|(version, name, stage)| {
                let StageReport { count: _, mean_us: _, p50_us, p90_us, p99_us, p99_9_us, max_us: _ } = stage;
                let mut row = vec![version.to_string(), name];
                row.extend([p50_us, p90_us, p99_us, p99_9_us].map(|value| micros(*value)));
                row
            })
            .collect();
        table(&["version", "stage", "p50", "p90", "p99", "p99.9"], &rows, &[2, 3, 4, 5])
    }
}

fn stages(stages: &BTreeMap<Stage, StageReport>) -> impl Iterator<Item = (String, &StageReport)> {
    stages.iter().map(|(stage, report)| (stage.name().to_owned(), report))
}

fn section(title: &str, body: &str) -> String {
    let body: Vec<_> = body.lines().map(|line| format!("  {line}")).collect();
    format!("{title}\n{}", body.join("\n"))
}

fn number(value: Option<&f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}
