//! What people see: text and JSON on standard output, progress and warnings on standard error.
//!
//! Standard output carries results only, so that `--json` can be piped. A reader that goes away (`| head`) ends the
//! program quietly.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::Result;
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use contract::{TrainEvent, VersionMetadata};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Writes a line (or several) to standard output.
pub(crate) fn print(text: impl AsRef<str>) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.as_ref().trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            #[expect(clippy::exit, reason = "the reader has gone: there is nobody left to tell")]
            std::process::exit(0)
        }
        outcome => Ok(outcome?),
    }
}

/// Writes one JSON object, indented, to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(serde_json::to_string_pretty(value)?)
}

/// Writes one JSON object on one line to standard output: for streams of events.
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<()> {
    print(serde_json::to_string(value)?)
}

/// Writes a line to standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// A table of text; all columns but the first are aligned to the right where `numbers` says so.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], numbers: &[usize]) -> String {
    let mut table = Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    table.load_style(presets::NOTHING.header_separator(line)).set_header(header.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    for index in numbers {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A progress bar on standard error over `len` steps, `unit` each; a spinner when `len` is unknown (0).
pub(crate) fn progress(len: u64, unit: &str, shown: bool) -> ProgressBar {
    let bar = if len == 0 { ProgressBar::no_length() } else { ProgressBar::new(len) };
    if !shown {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = if len == 0 {
        format!("{{prefix}} {{spinner}} {{human_pos}} {unit} · {{msg}}")
    } else {
        format!("{{prefix}} {{bar:28}} {{human_pos}}/{{human_len}} {unit} · {{msg}} · {{eta}} left")
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The progress bar of a training run, fed by its events.
pub(crate) struct TrainingBar {
    bar: ProgressBar,
    prefix: String,
    shown: bool,
    best: f64,
}

impl TrainingBar {
    /// A bar that starts with the first event; invisible unless `shown`.
    pub(crate) fn new(prefix: &str, shown: bool) -> Self {
        let bar = progress(0, "epochs", shown);
        bar.set_prefix(prefix.to_owned());
        bar.set_message("reading the table");
        Self { bar, prefix: prefix.to_owned(), shown, best: f64::INFINITY }
    }

    /// Shows what happened.
    pub(crate) fn event(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Started { training_rows, validation_rows, features, parameters, epochs, device, precision } => {
                self.bar.finish_and_clear();
                if self.shown {
                    note(format!(
                        "{}: {training_rows} training and {validation_rows} validation rows, {features} features, \
                         {parameters} parameters, on {device} in {precision}",
                        self.prefix
                    ));
                }
                self.bar = progress(*epochs as u64, "epochs", self.shown);
                self.bar.set_prefix(self.prefix.clone());
            }
            TrainEvent::Epoch { point, epochs: _, rows_per_second, best } => {
                if *best {
                    self.best = point.validation_loss;
                }
                self.bar.set_position(point.epoch as u64);
                self.bar.set_message(format!(
                    "loss {:.4} · validation {:.4} (best {:.4}) · {} rows/s",
                    point.training_loss,
                    point.validation_loss,
                    self.best,
                    thousands(*rows_per_second as u64)
                ));
            }
            TrainEvent::Registered { name: _, version: _, metadata: _ } | TrainEvent::Failed { error: _ } => {
                self.bar.finish_and_clear();
            }
        }
    }
}

/// A version's quality in one line, such as `rmse 0.6123 · mae 0.4812 · r2 0.4102`.
pub(crate) fn quality(metadata: &VersionMetadata) -> String {
    let metrics: Vec<String> = metadata.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    if metrics.is_empty() { "no metrics".to_owned() } else { metrics.join(" · ") }
}

/// A whole number with a thousands separator.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in the unit that fits.
pub(crate) fn bytes(number: u64) -> String {
    indicatif::HumanBytes(number).to_string()
}

/// A duration given in microseconds in the unit that fits.
pub(crate) fn micros(value: f64) -> String {
    if value >= 1e6 {
        format!("{:.2} s", value / 1e6)
    } else if value >= 1e3 {
        format!("{:.2} ms", value / 1e3)
    } else {
        format!("{value:.0} µs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1000, 1_234_567].map(thousands)[..]);
        assert_eq!(["12 µs", "1.50 ms", "2.00 s"], [12.0, 1500.0, 2e6].map(micros)[..]);
    }
}
