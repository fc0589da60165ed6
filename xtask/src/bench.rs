//! `cargo xtask bench serve`, `trees`, `nets`, `quality` and `training`: build what is measured and what measures, then run `benches`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{cargo, root, show, target_directory};

/// What can be measured.
const KINDS: [&str; 5] = ["serve", "trees", "nets", "quality", "training"];

/// What `arguments` ask for.
#[derive(Debug, Default, PartialEq)]
struct Options {
    /// Whether to measure what is built already.
    built: bool,
    /// For `cargo build`: features.
    build: Vec<String>,
    /// For `benches`: what to measure, and how.
    run: Vec<String>,
}

/// Builds in the release profile and measures.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Options { built, build, run } = options(arguments)?;
    if !built {
        // All of the workspace, so that shared crates have the features that everything else builds them with.
        show(cargo().args(["build", "--release", "--workspace", "--bins"]).args(build))?;
        show(cargo().args(["build", "--release", "--package", "benches", "--example", "bare"]))?;
    }
    show(Command::new(target_directory()?.join("release/benches")).current_dir(root()).args(run))
}

fn options(arguments: &[String]) -> Result<Options> {
    let Some((what, rest)) = arguments.split_first().filter(|(what, _)| KINDS.contains(&what.as_str())) else {
        bail!("expected `cargo xtask bench` and one of {}, got '{}'", KINDS.join(", "), arguments.join(" "));
    };
    let mut options = Options { run: vec![what.clone()], ..Options::default() };
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--built" => options.built = true,
            "--no-default-features" => options.build.push(argument.clone()),
            "--features" => options.build.extend([argument.clone()].into_iter().chain(rest.next().cloned())),
            _ => options.run.push(argument.clone()),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn arguments_go_to_the_build_or_to_the_run() {
        let found = options(&words("serve --only cached,one --no-default-features --quick --features cuda")).unwrap();
        let build = words("--no-default-features --features cuda");
        assert_eq!(found, Options { built: false, build, run: words("serve --only cached,one --quick") });
        assert!(options(&words("serve --built")).unwrap().built);
        assert_eq!(options(&words("trees --grid")).unwrap().run, words("trees --grid"));
        assert!(options(&words("train")).is_err() && options(&[]).is_err());
    }
}
