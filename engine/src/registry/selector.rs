//! How a version of a model is named in requests and on the command line: `NAME`, `NAME@ALIAS` or `NAME:VERSION`.
//!
//! This is the word alone; what it stands for is decided by the registry (what is published) and by the router (what
//! serves).

use std::fmt;

use crate::{Error, Result};

/// Most characters of a model name or an alias.
const LONGEST_NAME: usize = 128;

/// Which version of a model is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VersionSelector {
    /// The version that the alias `champion` names if it is set, else the highest ready version.
    #[default]
    Default,
    /// This version, from 1.
    Version(u32),
    /// The version that this alias names.
    Alias(String),
}

impl fmt::Display for VersionSelector {
    /// What stands behind the model name: nothing, `@alias` or `:N`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Version(version) => write!(f, ":{version}"),
            Self::Alias(alias) => write!(f, "@{alias}"),
        }
    }
}

/// Whether `text` may name a model or an alias: 1 to 128 of the characters `A-Z a-z 0-9 . _ -`, the first one a letter
/// or a digit.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= LONGEST_NAME
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(allowed)
}

/// Reads `NAME`, `NAME@ALIAS` or `NAME:VERSION`.
///
/// # Errors
/// [`Error::BadRequest`] when name, alias or version are not of their form.
pub fn parse_model_reference(text: &str) -> Result<(String, VersionSelector)> {
    let bad = || Error::BadRequest(format!("expected NAME, NAME@ALIAS or NAME:VERSION as model, got '{text}'"));
    let (name, selector) = if let Some((name, alias)) = text.split_once('@') {
        if !is_name(alias) {
            return Err(bad());
        }
        (name, VersionSelector::Alias(alias.to_owned()))
    } else if let Some((name, version)) = text.split_once(':') {
        // `parse` alone would take a sign.
        let digits = version.bytes().all(|byte| byte.is_ascii_digit());
        let version = version.parse::<u32>().ok().filter(|version| digits && *version > 0).ok_or_else(bad)?;
        (name, VersionSelector::Version(version))
    } else {
        (text, VersionSelector::Default)
    };
    if is_name(name) { Ok((name.to_owned(), selector)) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_prints() {
        for text in ["wine", "wine@champion", "wine:3", "a.b-c_d@x.y", "0:4294967295"] {
            let (name, selector) = parse_model_reference(text).unwrap();
            assert_eq!(format!("{name}{selector}"), text);
        }
        assert_eq!(parse_model_reference("m").unwrap(), ("m".to_owned(), VersionSelector::Default));
        assert_eq!(parse_model_reference("m:2").unwrap().1, VersionSelector::Version(2));
        assert_eq!(parse_model_reference("m@b").unwrap().1, VersionSelector::Alias("b".to_owned()));
    }

    #[test]
    fn refuses_other_forms() {
        let long = "a".repeat(LONGEST_NAME + 1);
        for text in
            ["", "@a", ":1", "m@", "m:", "m:0", "m:-1", "m:+1", "m:x", "m:1@a", "m@a:1", "a/b", ".m", "m@-a", &long]
        {
            assert!(parse_model_reference(text).is_err(), "{text}");
        }
    }
}
