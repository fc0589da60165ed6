//! Emberline's metrics in Prometheus' text form.

use super::{Clock, Snapshot};
use crate::Target;

const STAGES: &str = "emberline_stage_duration_seconds";
const BATCHES: &str = "emberline_batch_rows";
const CACHE: &str = "emberline_cache_requests_total";
const FAILURES: &str = "emberline_request_failures_total";

/// The counters of a model, of all its versions together unless the target names one; none if there are none of its stages.
pub(super) fn read(text: &str, target: &Target) -> Option<Snapshot> {
    let mut snapshot = Snapshot { source: "metrics", ..Snapshot::default() };
    for sample in text.lines().filter_map(Sample::read) {
        if sample.label("model") != Some(&target.model) {
            continue;
        }
        if let Some(version) = &target.version
            && sample.label("version") != Some(version)
        {
            continue;
        }
        if let Some(part) = sample.name.strip_prefix(STAGES) {
            let Some(stage) = sample.label("stage") else { continue };
            let clock: &mut Clock = snapshot.stages.entry(stage.to_owned()).or_default();
            match part {
                "_count" => clock.count += sample.value,
                "_sum" => clock.seconds += sample.value,
                "_bucket" => {
                    let Some(bound) = sample.label("le").and_then(bound) else { continue };
                    match clock.buckets.iter_mut().find(|(other, _)| *other == bound) {
                        Some((_, count)) => *count += sample.value,
                        None => clock.buckets.push((bound, sample.value)),
                    }
                }
                _ => {}
            }
        } else if let Some(part) = sample.name.strip_prefix(BATCHES) {
            match part {
                "_count" => snapshot.batches += sample.value,
                "_sum" => snapshot.batch_rows += sample.value,
                _ => {}
            }
        } else if sample.name == CACHE {
            if sample.label("result") == Some("hit") {
                *snapshot.cache_hits.get_or_insert(0.0) += sample.value;
            }
        } else if sample.name == FAILURES {
            snapshot.failures += sample.value;
        }
    }
    for clock in snapshot.stages.values_mut() {
        clock.buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    (!snapshot.stages.is_empty()).then_some(snapshot)
}

fn bound(text: &str) -> Option<f64> {
    if text == "+Inf" { Some(f64::INFINITY) } else { text.parse().ok() }
}

/// One line.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while !rest.starts_with('}') {
                let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.push((label, value));
                rest = after;
            }
            rest = rest.strip_prefix('}')?;
        }
        let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self { name, labels, value })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }
}

/// A label's value up to its closing quote, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_families_of_its_model() {
        let text = r#"# TYPE emberline_stage_duration_seconds histogram
emberline_stage_duration_seconds_sum{model="m",version="1",stage="queue"} 0.5
emberline_stage_duration_seconds_count{model="m",version="1",stage="queue"} 10
emberline_stage_duration_seconds_bucket{le="0.1",model="m",version="1",stage="queue"} 9
emberline_stage_duration_seconds_bucket{le="+Inf",model="m",version="1",stage="queue"} 10
emberline_stage_duration_seconds_count{model="m",version="2",stage="queue"} 5 1700000000
emberline_stage_duration_seconds_count{model="o\"th{er",version="1",stage="queue"} 99
emberline_stage_duration_quantile_seconds{model="m",version="1",stage="queue",quantile="0.5"} 1
emberline_batch_rows_sum{model="m",version="1"} 30
emberline_batch_rows_count{model="m",version="1"} 10
emberline_cache_requests_total{model="m",version="1",result="hit"} 4
emberline_cache_requests_total{model="m",version="1",result="miss"} 6
emberline_request_failures_total{model="m",version="1",reason="rejected"} 2
up 1
broken{le="
"#;
        let mut target = Target::parse("h:1", None, "m").unwrap();
        let all = read(text, &target).unwrap();
        let queue = &all.stages["queue"];
        assert_eq!((queue.count, queue.seconds), (15.0, 0.5));
        assert_eq!(queue.buckets, [(0.1, 9.0), (f64::INFINITY, 10.0)]);
        assert_eq!((all.batches, all.batch_rows, all.cache_hits, all.failures), (10.0, 30.0, Some(4.0), 2.0));
        target.version = Some("2".to_owned());
        assert_eq!(read(text, &target).unwrap().stages["queue"].count, 5.0);
        target.model = "none".to_owned();
        assert_eq!(read(text, &target), None);
    }
}
