//! The results as one page.

mod chart;

use std::fmt::Write as _;

use self::chart::{Axis, Scale, Series};
use crate::{Latency, Pace, Report, Results, ServerStages};

const STYLE: &str = include_str!("style.css");
/// Curves of latency in one chart; with more none can be told from another.
const MOST_CURVES: usize = 6;

pub(crate) fn page(results: &Results) -> String {
    let Some(main) = results.main() else { return String::new() };
    let title = format!("{} at {}", main.target.model, main.target.address);
    let mut body = format!(
        "<h1>{}</h1><p class=\"sub\">Load over {}, {}</p>",
        escape(&title),
        main.target.protocol,
        results.time.format("%Y-%m-%d %H:%M UTC")
    );
    body += &verdicts(results, main);
    section(&mut body, "Summary", &summary(&results.reports));
    section(&mut body, "Latency by percentile", &by_percentile(results, main));
    if results.reports.len() > 1 {
        section(&mut body, "Latency against rate", &against_rate(&results.reports));
        section(&mut body, "Throughput against rate", &throughput_against_rate(&results.reports));
    }
    let of = if results.reports.len() > 1 { format!(", {}", pace(&main.pace)) } else { String::new() };
    section(&mut body, &format!("Throughput over time{of}"), &over_time(main));
    section(&mut body, &format!("Latency over time{of}"), &latency_over_time(main));
    if let Some(server) = &main.server {
        section(&mut body, &format!("In the server{of}"), &stages(server));
    }
    section(&mut body, "How it was measured", &method(results, main));
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n",
        escape(&title)
    )
}

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

fn section(body: &mut String, title: &str, content: &str) {
    if !content.is_empty() {
        let _ = write!(body, "<section><h2>{}</h2>{content}</section>", escape(title));
    }
}

fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{}</tr>", cells.join(""))
    };
    let mut html = format!("<div class=\"wide\"><table>{}", cells("th", &mut header.iter().copied()));
    for row in rows {
        html += &cells("td", &mut row.iter().map(String::as_str));
    }
    html + "</table></div>"
}

fn micros(value: f64) -> String {
    match value {
        large if large >= 1e6 => format!("{:.2} s", value / 1e6),
        large if large >= 1e3 => format!("{:.2} ms", value / 1e3),
        _ => format!("{value:.0} µs"),
    }
}

fn rate(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn pace(pace: &Pace) -> String {
    match pace {
        Pace::Closed { concurrency } => format!("{concurrency} at a time"),
        Pace::Open { rate: per_second, arrivals: _ } => format!("{}/s", rate(*per_second)),
        Pace::Count { concurrency, requests } => format!("{requests} requests, {concurrency} at a time"),
        Pace::Replay => "replay".to_owned(),
    }
}

/// What a reader must know before any number.
fn verdicts(results: &Results, main: &Report) -> String {
    let mut html = String::new();
    let mut say = |class: &str, text: &str| {
        let _ = write!(html, "<p class=\"{class}\">{}</p>", escape(text));
    };
    if let Some(scenario) = &results.scenario {
        let value = scenario.value.map_or("none".to_owned(), |value| format!("{value:.1} {}", scenario.unit));
        say("verdict", &format!("MLPerf scenario {:?}: {} {value}", scenario.scenario, scenario.metric));
    }
    if let Some(sweep) = &results.sweep {
        let text = match sweep.best_rate {
            Some(best) => format!("{} is met up to {} requests per second", sweep.objective, rate(best)),
            None => format!("{} is met at no rate that was tried", sweep.objective),
        };
        say("verdict", &text);
        if sweep.generator_bound {
            say(
                "warning",
                "The search ended because the generator could not keep up: the server may bear a higher rate.",
            );
        }
    } else if let Some(slo) = &main.slo {
        let met = if slo.met { "met" } else { "missed" };
        let text =
            format!("{} {met}: {:.3} % of the requests were answered in time", slo.objective, slo.percent_within);
        say("verdict", &text);
    }
    for report in &results.reports {
        if let Some(warning) = &report.generator.warning {
            say("warning", &format!("At {}: {warning}", pace(&report.pace)));
        }
    }
    html
}

fn summary(reports: &[Report]) -> String {
    let rows: Vec<Vec<String>> = reports
        .iter()
        .flat_map(|report| {
            let counts = &report.counts;
            let row = |name: String, answers: f64, latency: &Latency, counts: &crate::Counts| {
                vec![
                    name,
                    rate(answers),
                    micros(latency.mean_us),
                    micros(latency.p50_us),
                    micros(latency.p90_us),
                    micros(latency.p99_us),
                    micros(latency.p999_us),
                    micros(latency.max_us),
                    counts.ok.to_string(),
                    counts.refused.to_string(),
                    counts.deadline.to_string(),
                    counts.errors().to_string(),
                ]
            };
            let first = row(pace(&report.pace), report.throughput_per_second, &report.latency, counts);
            let levels = report.priorities.iter().map(move |level| {
                let name = format!("priority {}", level.priority);
                row(name, level.counts.ok as f64 / report.seconds, &level.latency, &level.counts)
            });
            std::iter::once(first).chain(levels)
        })
        .collect();
    let header = [
        "load",
        "answers/s",
        "mean",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "answered",
        "refused",
        "past deadline",
        "errors",
    ];
    table(&header, &rows)
}

fn by_percentile(results: &Results, main: &Report) -> String {
    let curve = |name: String, latency: &Latency| Series {
        name,
        points: latency.curve.iter().map(|(percentile, micros)| (*percentile, micros / 1e3)).collect(),
    };
    let mut series: Vec<Series> = Vec::new();
    if results.reports.len() > 1 {
        // Evenly over the rates.
        let step = results.reports.len().div_ceil(MOST_CURVES);
        let some = results.reports.iter().rev().step_by(step).collect::<Vec<_>>();
        series.extend(some.into_iter().rev().map(|report| curve(pace(&report.pace), &report.latency)));
    } else {
        series.push(curve("latency, from the intended time of sending".to_owned(), &main.latency));
        series.push(curve("service time, from the actual time".to_owned(), &main.service));
        series.extend(
            main.priorities.iter().take(4).map(|level| curve(format!("priority {}", level.priority), &level.latency)),
        );
    }
    let x = Axis { label: "percentile", scale: Scale::Percentile };
    let high = series.iter().flat_map(|one| &one.points).map(|point| point.1).fold(0.0, f64::max);
    let low = series.iter().flat_map(|one| &one.points).map(|point| point.1).fold(f64::INFINITY, f64::min);
    let scale = if high > 200.0 * low { Scale::Log } else { Scale::Linear };
    chart::lines(&x, &Axis { label: "milliseconds", scale }, &series)
}

fn offered(report: &Report) -> f64 {
    match report.pace {
        Pace::Open { rate, arrivals: _ } => rate,
        Pace::Closed { concurrency: _ } | Pace::Count { concurrency: _, requests: _ } | Pace::Replay => {
            report.offered_per_second
        }
    }
}

fn against_rate(reports: &[Report]) -> String {
    let line = |name: &str, pick: fn(&Latency) -> f64| Series {
        name: name.to_owned(),
        points: reports
            .iter()
            .filter(|report| report.latency.count > 0)
            .map(|report| (offered(report), pick(&report.latency) / 1e3))
            .collect(),
    };
    let series = [
        line("p50", |latency| latency.p50_us),
        line("p90", |latency| latency.p90_us),
        line("p99", |latency| latency.p99_us),
        line("p99.9", |latency| latency.p999_us),
    ];
    let x = Axis { label: "requests per second offered", scale: Scale::Linear };
    chart::lines(&x, &Axis { label: "milliseconds", scale: Scale::Log }, &series)
}

fn throughput_against_rate(reports: &[Report]) -> String {
    let line = |name: &str, pick: fn(&Report) -> f64| Series {
        name: name.to_owned(),
        points: reports.iter().map(|report| (offered(report), pick(report))).collect(),
    };
    let series = [
        line("answers", |report| report.throughput_per_second),
        line("answers within the limit", |report| report.goodput_per_second),
        line("refused or past deadline", |report| {
            (report.counts.refused + report.counts.deadline) as f64 / report.seconds
        }),
    ];
    let x = Axis { label: "requests per second offered", scale: Scale::Linear };
    chart::lines(&x, &Axis { label: "per second", scale: Scale::Linear }, &series)
}

fn over_time(report: &Report) -> String {
    let line = |name: &str, pick: fn(&crate::Moment) -> f64| Series {
        name: name.to_owned(),
        points: report.timeline.iter().map(|moment| (moment.second, pick(moment))).collect(),
    };
    let mut series = vec![line("answers", |moment| moment.ok_per_second)];
    if report.counts.refused + report.counts.deadline > 0 {
        series.push(line("refused or past deadline", |moment| moment.refused_per_second));
    }
    if report.counts.errors() > 0 {
        series.push(line("errors", |moment| moment.errors_per_second));
    }
    let x = Axis { label: "seconds, warm-up included", scale: Scale::Linear };
    chart::lines(&x, &Axis { label: "per second", scale: Scale::Linear }, &series)
}

fn latency_over_time(report: &Report) -> String {
    let line = |name: &str, pick: fn(&crate::Moment) -> Option<f64>| Series {
        name: name.to_owned(),
        points: report.timeline.iter().filter_map(|moment| Some((moment.second, pick(moment)? / 1e3))).collect(),
    };
    let series = [line("p50", |moment| moment.p50_us), line("p99", |moment| moment.p99_us)];
    let x = Axis { label: "seconds, warm-up included", scale: Scale::Linear };
    chart::lines(&x, &Axis { label: "milliseconds", scale: Scale::Log }, &series)
}

fn stages(server: &ServerStages) -> String {
    let rows: Vec<(String, f64, String)> = server
        .stages
        .iter()
        .map(|stage| {
            let tail = stage.p99_us.map_or(String::new(), |p99| format!(", p99 {}", micros(p99)));
            (stage.name.clone(), stage.mean_us, format!("{}{tail}", micros(stage.mean_us)))
        })
        .collect();
    let source = match server.source {
        "metrics" => "Means, from the histograms of the server's metrics",
        _ => "Means, from the server's statistics",
    };
    let batch = server.mean_batch_rows.map_or(String::new(), |rows| format!("; {rows:.1} rows a batch"));
    let hits = server.cache_hits.map_or(String::new(), |hits| format!("; {hits} answers from the cache"));
    format!("{}<p class=\"note\">{}</p>", chart::bars(&rows), escape(&format!("{source}{batch}{hits}")))
}

fn method(results: &Results, main: &Report) -> String {
    let mut rows = vec![
        vec!["window".to_owned(), format!("{:.1} s after {:.1} s of warm-up", main.seconds, main.warmup_seconds)],
        vec![
            "requests".to_owned(),
            format!(
                "{} rows, {} bytes, {}",
                main.requests.rows.map_or("various".to_owned(), |rows| rows.to_string()),
                main.requests.bytes,
                main.requests
                    .distinct
                    .map_or("every one another".to_owned(), |count| format!("{count} different ones")),
            ),
        ],
        vec![
            "generator".to_owned(),
            format!(
                "{} threads, {} connections, busy for {:.0} % of the time, p99 of lateness {}",
                main.generator.threads,
                main.generator.connections,
                main.generator.busy * 100.0,
                micros(main.generator.p99_late_us)
            ),
        ],
    ];
    if let Some(limit) = main.limit_ms {
        let text = format!("answers within {}: {} per second", micros(limit * 1e3), rate(main.goodput_per_second));
        rows.push(vec!["goodput".to_owned(), text]);
    }
    if let Some(failure) = &main.first_failure {
        rows.push(vec!["first failure".to_owned(), failure.clone()]);
    }
    if let Some(replay) = &results.replay {
        let text = format!(
            "{} requests at speed {}; skipped: {} without payload, {} of another protocol, {} of another model, {} unreadable",
            replay.requests,
            replay.speed,
            replay.without_payload,
            replay.other_protocol,
            replay.other_model,
            replay.unreadable
        );
        rows.push(vec!["replay".to_owned(), text]);
    }
    table(&["", ""], &rows)
        + "<p class=\"note\">Latency counts from the time a request was meant to be sent, so a stall of the server is in the \
           latency of every request that it delayed. Warm-up is not counted.</p>"
}
