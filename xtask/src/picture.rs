//! `cargo xtask picture`: draws what `emberline demo --once` prints as `docs/demo.svg`, the picture of the README.
//!
//! A picture that is drawn from a run cannot show what the program does not do.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{cargo, root, say};

const LINE_HEIGHT: usize = 19;
const CHARACTER_WIDTH: f64 = 8.4;
const MARGIN: usize = 24;

/// Runs the demo, built with `arguments`, and draws its report.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    say("running the demo");
    let output = cargo()
        .args(["run", "--quiet", "--release"])
        .args(arguments)
        .args(["--", "demo", "--once"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run the demo")?;
    if !output.status.success() {
        bail!("the demo ended with {}", output.status);
    }
    let text = String::from_utf8(output.stdout).context("the demo's report is not UTF-8")?;
    let path = root().join("docs/demo.svg");
    #[expect(clippy::disallowed_methods, reason = "the context names the file")]
    fs::create_dir_all(root().join("docs"))
        .and_then(|()| fs::write(&path, draw(&text).as_bytes()))
        .with_context(|| path.display().to_string())?;
    say(&format!("drawn to {}", path.display()));
    Ok(())
}

fn draw(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = (longest as f64 * CHARACTER_WIDTH) as usize + 2 * MARGIN;
    let height = (lines.len() + 2) * LINE_HEIGHT + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"The report of emberline demo\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"10\" fill=\"#16131a\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\" fill=\"#d8d3dc\" \
         xml:space=\"preserve\">\n"
    );
    let prompt = ["$ cargo run --release -- demo --once", ""];
    for (index, line) in prompt.iter().chain(&lines).enumerate() {
        if line.is_empty() {
            continue;
        }
        let y = MARGIN + (index + 1) * LINE_HEIGHT;
        // Titles start at the margin, their tables are indented.
        let colour = match index {
            0 => " fill=\"#8f8796\"",
            _ if line.starts_with(' ') => "",
            _ => " fill=\"#ff9d5c\"",
        };
        svg += &format!("<text x=\"{MARGIN}\" y=\"{y}\"{colour}>{}</text>\n", escape(line));
    }
    svg + "</g>\n</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_every_line_and_escapes_it() {
        let svg = draw("Title\n  a < b & c\n");
        assert!(svg.contains(">Title</text>") && svg.contains(">  a &lt; b &amp; c</text>"));
    }
}
