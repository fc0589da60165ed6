//! `cargo xtask check`: formatting, lints, and the rules of the house that no compiler checks.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{cargo, root, say, show};

/// Crates that must never stand under `engine` or `server`: they take minutes to compile.
const GPU_CRATES: [&str; 5] = ["burn", "cubecl", "candle-core", "wgpu", "models"];
/// A file longer than this is two things.
const MOST_LINES: usize = 500;

/// Runs all checks; the first that fails ends the run.
pub(crate) fn run() -> Result<()> {
    show(cargo().args(["fmt", "--all", "--check"]))?;
    arrows()?;
    file_sizes()?;
    show(cargo().args(["clippy", "--release", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]))
}

/// Arrows point down only: no GPU crate and no room above it under `engine` or `server`.
fn arrows() -> Result<()> {
    for (room, banned) in [
        ("contract", &["engine", "server", "kernels", "actix-web", "sqlx"][..]),
        ("engine", &["server", "actix-web"][..]),
        ("server", &[][..]),
        ("fuzz", &[][..]),
        ("loadgen", &["engine", "server", "actix-web"][..]),
        ("soak", &[][..]),
        ("models", &["engine", "server"][..]),
        ("kernels", &["contract", "engine", "server"][..]),
        ("trees", &["contract", "engine", "server"][..]),
        ("dense", &["contract", "engine", "server", "trees"][..]),
    ] {
        let gpu = if matches!(room, "models" | "kernels") { &[][..] } else { &GPU_CRATES[..] };
        let tree = cargo()
            .args(["tree", "--package", room, "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"])
            .output()
            .context("cannot run cargo tree")?;
        if !tree.status.success() {
            bail!("cargo tree --package {room}: {}", String::from_utf8_lossy(&tree.stderr).trim());
        }
        let tree = String::from_utf8_lossy(&tree.stdout);
        let below: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        if let Some(found) = banned.iter().chain(gpu).find(|name| below.contains(*name)) {
            bail!("{room} must not depend on {found} (ARCHITECTURE.md, rooms and arrows)");
        }
    }
    say("arrows point down only");
    Ok(())
}

fn file_sizes() -> Result<()> {
    let mut long = Vec::new();
    for room in
        ["src", "engine", "kernels", "models", "server", "fuzz", "soak", "xtask", "benches", "examples", "tests"]
    {
        visit(&root().join(room), &mut long)?;
    }
    if !long.is_empty() {
        bail!("longer than {MOST_LINES} lines, so probably two things: {}", long.join(", "));
    }
    say("no file is longer than it should be");
    Ok(())
}

fn visit(path: &Path, long: &mut Vec<String>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            visit(&entry?.path(), long)?;
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        #[expect(clippy::disallowed_methods, reason = "the context below names the file")]
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let lines = text.lines().count();
        if lines > MOST_LINES {
            long.push(format!("{} ({lines})", path.display()));
        }
    }
    Ok(())
}
