//! `cargo xtask conformance`: the protocols by their own clients, in Python, against the real binary.
//!
//! The clients live in a virtual environment outside of the clone, made once for each list of requirements. Where Python or
//! a registry of packages is missing, the run is left out and says so: a machine without them can still build and test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{cargo, line, root, say, show, target_directory};

const FOLDER: &str = "tests/conformance";
/// Where the comparison with Triton is kept.
const COMPARISON: &str = "benches/results/conformance-triton.json";

/// What `arguments` ask for.
#[derive(Default)]
struct Options {
    /// Whether to install TensorFlow Serving's client as well.
    tensorflow: bool,
    /// For `cargo build`: features.
    build: Vec<String>,
    /// For `run.py`.
    run: Vec<String>,
}

/// Builds the binary and runs the suite; fails when a case does.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    let python = match environment("conformance", "requirements.txt") {
        Ok(python) => python,
        Err(missing) => {
            say(&format!("\nSKIPPED: the conformance suite did not run.\n{missing:#}\n"));
            return Ok(());
        }
    };
    let tensorflow = options.tensorflow.then(|| environment("conformance-tensorflow", "requirements-tensorflow.txt"));
    let binary = build(&options.build)?;
    let mut suite = Command::new(python);
    suite.current_dir(root()).arg(root().join(FOLDER).join("run.py")).arg("--emberline").arg(binary);
    match tensorflow {
        Some(Ok(python)) => drop(suite.arg("--tensorflow").arg(python)),
        Some(Err(missing)) => say(&format!("\nSKIPPED: TensorFlow Serving's gRPC client.\n{missing:#}\n")),
        None => {}
    }
    show(suite.args(options.run))
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.run.push(argument.clone()),
            "--tensorflow" => options.tensorflow = true,
            "--triton" | "--only" => {
                let value = arguments.next().with_context(|| format!("expected a value behind {argument}"))?;
                options.run.extend([argument.clone(), value.clone()]);
                if argument == "--triton" {
                    options.run.extend(["--out".to_owned(), root().join(COMPARISON).display().to_string()]);
                }
            }
            "--features" => {
                let value = arguments.next().context("expected names behind --features")?;
                options.build.extend([argument.clone(), value.clone()]);
            }
            "--no-default-features" => options.build.push(argument.clone()),
            other => bail!(
                "expected --json, --tensorflow, --only SCRIPT, --triton COMMAND, --features NAMES or --no-default-features, got '{other}'"
            ),
        }
    }
    Ok(options)
}

/// The Python of the environment `name`, which holds `requirements`; an error says what is missing and how to get it.
fn environment(name: &str, requirements: &str) -> Result<PathBuf> {
    let requirements = root().join(FOLDER).join(requirements);
    let wanted = fs_err::read(&requirements)?;
    let base = Path::new("python3");
    if !succeeds(Command::new(base).arg("--version")) {
        bail!("There is no python3. On Debian: apt-get install python3 python3-venv");
    }
    let folder = cache()?.join(name);
    let python = folder.join("bin/python");
    let stamp = folder.join("installed.txt");
    if fs_err::read(&stamp).is_ok_and(|installed| installed == wanted)
        && succeeds(Command::new(&python).arg("--version"))
    {
        return Ok(python);
    }
    say(&format!("installing {} into {}", requirements.display(), folder.display()));
    if !succeeds(Command::new(base).args(["-m", "venv", "--clear"]).arg(&folder)) {
        bail!("python3 cannot make a virtual environment. On Debian: apt-get install python3-venv");
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    if !succeeds(&mut pip) {
        bail!("{} failed, without a network perhaps", line(&pip));
    }
    fs_err::write(&stamp, &wanted)?;
    Ok(python)
}

fn cache() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("expected HOME or XDG_CACHE_HOME to be set, to keep Python packages in")?.join("emberline"))
}

/// Runs a command with its complaints shown; whether it could be run and succeeded.
fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Builds the binary in the way of `cargo xtask test`, so that nothing is compiled twice; gives its path.
fn build(features: &[String]) -> Result<PathBuf> {
    // As a test, because those settle the features of shared crates in their own way.
    show(cargo().args(["test", "--release", "--workspace", "--no-run"]).args(features))?;
    Ok(target_directory()?.join("release/emberline"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn arguments_go_to_the_build_or_to_the_suite() {
        let Options { tensorflow, build, run } =
            options(&words("--tensorflow --no-default-features --only transcript --json")).unwrap();
        assert!(tensorflow);
        assert_eq!((build, run), (words("--no-default-features"), words("--only transcript --json")));
        let Options { tensorflow: _, build, run } = options(&words("--triton serve.sh --features cuda")).unwrap();
        assert_eq!((build, &run[..3]), (words("--features cuda"), &words("--triton serve.sh --out")[..]));
        assert!(run[3].ends_with(COMPARISON));
        assert!(options(&words("--only")).is_err() && options(&words("--colour")).is_err());
    }
}
