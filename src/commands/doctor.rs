//! `emberline doctor`: which devices there are, what each is used by, and whether it computes right.

use anyhow::{Result, bail};
use clap::Args;
use models::device::{DeviceReport, DoctorReport};

use crate::terminal::{bytes, note, print, print_json, table};

/// List the devices, and test what they compute.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand. A device that computes wrong makes it fail.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.json {
        note("testing every device; the first run on a GPU compiles its kernels");
    }
    let report = models::device::doctor();
    if arguments.json {
        print_json(&report)?;
    } else {
        print(text(&report))?;
    }
    if report.passed {
        return Ok(());
    }
    let failed: Vec<&str> = report.self_tests.iter().filter(|test| !test.passed).map(|test| test.id.as_str()).collect();
    bail!("the self-test failed on {}", failed.join(", "))
}

fn text(report: &DoctorReport) -> String {
    let parts = [
        format!("{} · burn {}", report.platform, report.burn),
        devices(report),
        features(report),
        format!("auto takes {}: {}", report.auto.id, report.auto.reason),
        tests(report),
    ];
    parts.join("\n\n")
}

fn devices(report: &DoctorReport) -> String {
    let row = |device: &DeviceReport| {
        let driver = [Some(device.driver.clone()), device.driver_version.clone()];
        vec![
            device.id.clone(),
            device.device.name.clone(),
            device.interface.clone(),
            driver.into_iter().flatten().collect::<Vec<_>>().join(" "),
            device.memory_bytes.map_or_else(|| "unknown".to_owned(), bytes),
            precisions(report, device),
            match &device.unusable {
                Some(reason) => format!("cannot be used: {reason}"),
                None => format!("--device {}", device.selectors.join(" or ")),
            },
        ]
    };
    let rows: Vec<_> = report.devices.iter().map(row).collect();
    table(&["device", "name", "interface", "driver", "memory", "trains in", "use by"], &rows, &[4])
}

/// What `train --precision` takes there.
fn precisions(report: &DoctorReport, device: &DeviceReport) -> String {
    let those = report.self_tests.iter().filter(|test| test.device == device.device).flat_map(|test| &test.precisions);
    let those: Vec<&str> = those.map(|precision| precision.as_str()).collect();
    if those.is_empty() { "unknown".to_owned() } else { those.join(", ") }
}

fn features(report: &DoctorReport) -> String {
    let rows: Vec<_> = report
        .features
        .iter()
        .map(|one| {
            let devices = if one.devices.is_empty() { "nothing here".to_owned() } else { one.devices.join(", ") };
            vec![one.feature.name().to_owned(), if one.built_in { "yes" } else { "no" }.to_owned(), devices]
        })
        .collect();
    table(&["feature", "in this build", "drives, or would drive"], &rows, &[])
}

fn tests(report: &DoctorReport) -> String {
    let mut rows = Vec::new();
    for test in &report.self_tests {
        if let Some(reason) = &test.skipped {
            rows.push(vec![test.id.clone(), reason.clone(), "skipped".to_owned()]);
        }
        for step in &test.steps {
            rows.push(vec![
                test.id.clone(),
                step.operation.clone(),
                if step.passed { "pass" } else { "FAIL" }.to_owned(),
                step.max_relative_error.map_or_else(|| "no result".to_owned(), |error| format!("{error:.1e}")),
                format!("{:.0e}", step.limit),
                format!("{:.1} ms", step.first_ms),
                format!("{:.2} ms", step.second_ms),
            ]);
        }
    }
    table(&["device", "test", "result", "error", "limit", "first run", "then"], &rows, &[3, 4, 5, 6])
}
