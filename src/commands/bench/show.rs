//! A load while it runs, and its result, for people.

use std::fmt::Write as _;

use indicatif::ProgressBar;
use loadgen::{Counts, Latency, Load, Pace, Progress, Report, ServerStages};

use crate::terminal::{micros, progress, table, thousands};

/// The live view on standard error.
pub(crate) struct View {
    bar: ProgressBar,
}

impl View {
    pub(crate) fn new(load: &Load) -> Self {
        let whole = load.warmup + load.duration;
        let bar = progress(whole.as_millis() as u64, "ms", true);
        bar.set_prefix(pace(&load.pace));
        if let Ok(style) = indicatif::ProgressStyle::with_template("{prefix} {bar:24} {msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_message("connecting");
        Self { bar }
    }

    pub(crate) fn update(&mut self, progress: &Progress) {
        let Progress { elapsed, left, warming, per_second, p50, p99, total } = progress;
        self.bar.set_position(elapsed.as_millis() as u64);
        let phase = if *warming { "warming up · " } else { "" };
        let mut text = format!(
            "{phase}{}/s · p50 {} · p99 {}",
            thousands(*per_second as u64),
            micros(p50.as_secs_f64() * 1e6),
            micros(p99.as_secs_f64() * 1e6)
        );
        for (count, what) in [(total.refused, "refused"), (total.deadline, "past deadline"), (total.errors(), "errors")]
        {
            if count > 0 {
                let _ = write!(text, " · {} {what}", thousands(count));
            }
        }
        let _ = write!(text, " · {} s left", left.as_secs_f64().ceil());
        self.bar.set_message(text);
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// What is said of the pace.
pub(crate) fn pace(pace: &Pace) -> String {
    match pace {
        Pace::Closed { concurrency } => format!("{concurrency} at a time"),
        Pace::Open { rate, arrivals: _ } => format!("{}/s", rate_text(*rate)),
        Pace::Count { concurrency, requests } => format!("{requests} requests, {concurrency} at a time"),
        Pace::Replay => "replay".to_owned(),
    }
}

fn rate_text(rate: f64) -> String {
    if rate < 100.0 && rate.fract() != 0.0 { format!("{rate:.1}") } else { thousands(rate.round() as u64) }
}

/// The result of a load, or of several at different rates.
pub(crate) fn outcome(reports: &[Report]) -> String {
    match reports {
        [report] => one(report),
        reports => several(reports),
    }
}

fn one(report: &Report) -> String {
    let Report { target, counts, latency, service, .. } = report;
    let version = target.version.as_ref().map_or(String::new(), |version| format!(" version {version}"));
    let mut text = format!(
        "{}{version} at {} over {}: {} for {:.1} s after {:.1} s of warm-up\n\n",
        target.model,
        target.address,
        target.protocol,
        pace(&report.pace),
        report.seconds,
        report.warmup_seconds
    );
    let mut rows = vec![vec!["answers".to_owned(), format!("{}/s", rate_text(report.throughput_per_second))]];
    if matches!(report.pace, Pace::Open { rate: _, arrivals: _ } | Pace::Replay) {
        rows.insert(0, vec!["offered".to_owned(), format!("{}/s", rate_text(report.offered_per_second))]);
    }
    if report.requests.rows != Some(1) {
        rows.push(vec!["rows".to_owned(), format!("{}/s", rate_text(report.rows_per_second))]);
    }
    if let Some(limit) = report.limit_ms {
        let goodput = format!("{}/s", rate_text(report.goodput_per_second));
        rows.push(vec![format!("goodput (within {})", micros(limit * 1e3)), goodput]);
    }
    rows.extend(outcomes(counts));
    text += &table(&["", ""], &rows, &[1]);
    text += "\n\n";
    let mut rows = vec![latency_row("latency", latency), latency_row("service time", service)];
    if let Some(refusal) = &report.refusal {
        rows.push(latency_row("refusals", refusal));
    }
    for level in &report.priorities {
        rows.push(latency_row(&format!("priority {}", level.priority), &level.latency));
    }
    text += &table(&["", "mean", "p50", "p90", "p99", "p99.9", "max"], &rows, &[1, 2, 3, 4, 5, 6]);
    if let Some(server) = &report.server {
        text += "\n\n";
        text += &stages(server);
    }
    if let Some(slo) = &report.slo {
        let verdict = if slo.met { "met" } else { "missed" };
        let _ = write!(
            text,
            "\n\n{} {verdict}: {:.3} % of the requests were answered in time",
            slo.objective, slo.percent_within
        );
    }
    for line in report.first_failure.iter().map(|failure| format!("the first failure: {failure}")) {
        let _ = write!(text, "\n\n{line}");
    }
    if let Some(warning) = &report.generator.warning {
        let _ = write!(text, "\n\nwarning: {warning}");
    }
    text
}

fn outcomes(counts: &Counts) -> Vec<Vec<String>> {
    let Counts { intended, ok, refused, deadline, failed, broken, abandoned, unsent } = counts;
    let share = |count: u64| {
        let percent = 100.0 * count as f64 / (*intended).max(1) as f64;
        format!("{} ({percent:.2} %)", thousands(count))
    };
    let mut rows = vec![vec!["requests".to_owned(), thousands(*intended)], vec!["answered".to_owned(), share(*ok)]];
    for (what, count) in [
        ("refused", refused),
        ("past their deadline", deadline),
        ("failed", failed),
        ("broken connections", broken),
        ("given up", abandoned),
        ("never sent", unsent),
    ] {
        if *count > 0 {
            rows.push(vec![what.to_owned(), share(*count)]);
        }
    }
    rows
}

fn latency_row(name: &str, latency: &Latency) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    let columns = [latency.mean_us, latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us];
    if latency.count == 0 {
        row.extend(columns.map(|_| "–".to_owned()));
    } else {
        row.extend(columns.map(micros));
    }
    row
}

fn stages(server: &ServerStages) -> String {
    let rows: Vec<Vec<String>> = server
        .stages
        .iter()
        .map(|stage| {
            let or_dash = |value: Option<f64>| value.map_or("–".to_owned(), micros);
            let count = thousands(stage.count);
            vec![stage.name.clone(), count, micros(stage.mean_us), or_dash(stage.p50_us), or_dash(stage.p99_us)]
        })
        .collect();
    let mut text = table(&["in the server", "requests", "mean", "p50", "p99"], &rows, &[1, 2, 3, 4]);
    let hits = server.cache_hits.filter(|hits| *hits > 0).map(|hits| format!("{} from the cache", thousands(hits)));
    let batch = server.mean_batch_rows.map(|rows| format!("{rows:.1} rows a batch"));
    let notes: Vec<String> = batch.into_iter().chain(hits).collect();
    if !notes.is_empty() {
        let _ = write!(text, "\n{}", notes.join(" · "));
    }
    text
}

fn several(reports: &[Report]) -> String {
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|report| {
            let Counts { intended: _, ok: _, refused, deadline, .. } = report.counts;
            let mut row = vec![
                pace(&report.pace),
                rate_text(report.throughput_per_second),
                rate_text(report.goodput_per_second),
                micros(report.latency.p50_us),
                micros(report.latency.p99_us),
                micros(report.latency.p999_us),
                thousands(refused + deadline),
                thousands(report.counts.errors()),
            ];
            row.push(match &report.slo {
                Some(slo) if slo.met => format!("{} met", slo.objective),
                Some(slo) => format!("{} missed", slo.objective),
                None => String::new(),
            });
            row
        })
        .collect();
    let header = ["offered", "answers/s", "goodput/s", "p50", "p99", "p99.9", "refused, late", "errors", "objective"];
    let mut text = table(&header, &rows, &[0, 1, 2, 3, 4, 5, 6, 7]);
    for report in reports {
        if let Some(warning) = &report.generator.warning {
            let _ = write!(text, "\n\nwarning at {}: {warning}", pace(&report.pace));
        }
    }
    text
}
