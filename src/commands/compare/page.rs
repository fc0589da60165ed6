//! The comparison as one self-contained page.

use std::fmt::Write as _;

use anyhow::Result;
use models::compare::{BATCHES, Compared, Comparison};

use super::{devices, latency, shown_metrics, verdict, with_interval};
use crate::{
    plot::{self, Bars, Line, Measured},
    terminal::{bytes, micros, thousands},
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{border-bottom:1px solid #ddd;padding:.35rem .5rem;text-align:left}\
    td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}svg{max-width:100%;height:auto}figure{margin:2rem 0}\
    .best{font-weight:600}";

/// The page.
pub(super) fn page(target: &str, comparison: &Comparison) -> Result<String> {
    let Comparison { task, loss, training_rows, validation_rows, test_rows, models } = comparison;
    let [first, second] = shown_metrics(comparison);
    let devices = devices(comparison);
    let seeds = models.first().map_or(0, |compared| compared.runs.len());
    let title = format!("Models that predict {}", escaped(target));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\n<body>\n\
         <h1>{title}</h1>\n<p>A {task} task. {seeds} trainings of each model, from other seeds, on one split: {} rows to train on, {} to \
         stop by, {} to measure on. Intervals hold the mean over seeds with 95 % confidence. A model is beside the best one by a paired \
         test of its {loss} on each of the measured rows, taken as the mean over the seeds.</p>\n",
        thousands(*training_rows as u64),
        thousands(*validation_rows as u64),
        thousands(*test_rows as u64),
    );
    html.push_str("<table><thead><tr><th>model</th>");
    for metric in [first, second] {
        write!(html, "<th class=\"n\">{metric}</th>")?;
    }
    html.push_str("<th>beside the best</th><th class=\"n\">trained in</th><th class=\"n\">parameters</th><th class=\"n\">artifact</th>");
    for device in &devices {
        for batch in BATCHES {
            write!(html, "<th class=\"n\">{}, {batch} rows</th>", escaped(device))?;
        }
    }
    html.push_str("</tr></thead><tbody>\n");
    for compared in models {
        row(&mut html, compared, [first, second], &devices)?;
    }
    html.push_str("</tbody></table>\n");
    for metric in [first, second] {
        let measured: Vec<Measured> = models.iter().filter_map(|compared| measured(compared, metric)).collect();
        figure(&mut html, &plot::intervals(&format!("{metric} on rows that no training saw"), metric, &measured)?)?;
    }
    for device in &devices {
        let bars = models.iter().map(|compared| Bars {
            name: compared.name.clone(),
            values: BATCHES.map(|batch| latency(compared, device, batch)).to_vec(),
        });
        let groups = BATCHES.map(|batch| format!("{batch} rows"));
        let title = format!("microseconds from request to answer on {device}");
        figure(&mut html, &plot::bars(&title, "µs", &groups, &bars.collect::<Vec<_>>())?)?;
    }
    let curves: Vec<Line> = models.iter().filter_map(curve).collect();
    figure(&mut html, &plot::lines("validation loss of the first seed", "epoch", "loss", &curves)?)?;
    html.push_str("</body></html>\n");
    Ok(html)
}

fn row(html: &mut String, compared: &Compared, metrics: [&str; 2], devices: &[String]) -> Result<()> {
    let best = if compared.difference.is_none() { " class=\"best\"" } else { "" };
    write!(html, "<tr{best}><td>{}</td>", escaped(&compared.name))?;
    for metric in metrics {
        write!(html, "<td class=\"n\">{}</td>", with_interval(compared.metrics.get(metric)))?;
    }
    write!(
        html,
        "<td>{}</td><td class=\"n\">{:.1} s</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
        verdict(compared),
        compared.seconds.mean,
        thousands(compared.parameters),
        bytes(compared.artifact_bytes)
    )?;
    for device in devices {
        for batch in BATCHES {
            let text = latency(compared, device, batch).map_or_else(String::new, micros);
            write!(html, "<td class=\"n\">{text}</td>")?;
        }
    }
    html.push_str("</tr>\n");
    Ok(())
}

fn figure(html: &mut String, svg: &str) -> Result<()> {
    Ok(writeln!(html, "<figure>{svg}</figure>")?)
}

fn measured(compared: &Compared, metric: &str) -> Option<Measured> {
    let interval = compared.metrics.get(metric)?;
    let each = compared.runs.iter().filter_map(|run| run.metrics.get(metric).copied()).collect();
    Some(Measured { name: compared.name.clone(), mean: interval.mean, low: interval.low, high: interval.high, each })
}

fn curve(compared: &Compared) -> Option<Line> {
    let run = compared.runs.first()?;
    let points = run.curve.iter().enumerate().map(|(epoch, loss)| (epoch as f64 + 1.0, *loss)).collect();
    Some(Line { name: compared.name.clone(), points })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
