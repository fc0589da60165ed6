//! What is loaded: a server, a model, and how the requests travel.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::{Error, Result, error::setting};

/// How requests travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP with tensors in JSON.
    #[default]
    HttpJson,
    /// HTTP with tensors as raw bytes behind the JSON (`Inference-Header-Content-Length`), and answers alike.
    HttpBinary,
    /// gRPC with `raw_input_contents`.
    Grpc,
}

impl Protocol {
    /// Its name, as [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpJson => "http-json",
            Self::HttpBinary => "http-binary",
            Self::Grpc => "grpc",
        }
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "http" | "json" | "http-json" => Ok(Self::HttpJson),
            "binary" | "http-binary" => Ok(Self::HttpBinary),
            "grpc" => Ok(Self::Grpc),
            _ => setting(format!("expected http-json, http-binary or grpc as protocol, got '{text}'")),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A server and a model of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// Host and port.
    pub address: String,
    /// What stands before `/v2` in paths; usually nothing.
    pub prefix: String,
    /// How requests travel.
    pub protocol: Protocol,
    /// The model's name.
    pub model: String,
    /// The version asked for; none for the server's choice.
    pub version: Option<String>,
    /// Headers added to every request, such as an API key: names and values. Not part of the report.
    #[serde(skip)]
    pub headers: Vec<(String, String)>,
}

impl Target {
    /// Reads `http://HOST:PORT[/PREFIX]`, `grpc://HOST:PORT` or `HOST:PORT`. Without a port, 8000 for HTTP and 8001 for gRPC.
    ///
    /// # Errors
    /// [`Error::Setting`] for another form, `https` included: TLS would be measured along with the server.
    pub fn parse(url: &str, protocol: Option<Protocol>, model: &str) -> Result<Self> {
        let wrong = || {
            Error::Setting(format!("expected a server such as http://127.0.0.1:8000 or grpc://host:8001, got '{url}'"))
        };
        let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
        let protocol = match (scheme, protocol) {
            (Some("http") | None, None) => Protocol::HttpJson,
            (Some("grpc"), None | Some(Protocol::Grpc)) => Protocol::Grpc,
            (Some("grpc"), Some(other)) => {
                return setting(format!("expected an http:// address for {other}, got '{url}'"));
            }
            (Some("http") | None, Some(protocol)) => protocol,
            (Some(_), _) => return Err(wrong()),
        };
        let (address, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let address = match port {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => address.to_owned(),
            Some(_) => return Err(wrong()),
            None if address.is_empty() => return Err(wrong()),
            None => format!("{address}:{}", if protocol == Protocol::Grpc { 8001 } else { 8000 }),
        };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(rest) || address.contains('@') || prefix.contains(['?', '#']) {
            return Err(wrong());
        }
        if model.is_empty() || !plain(model) || model.contains(['/', '?', '#', '%']) {
            return setting(format!("expected the name of a model, got '{model}'"));
        }
        Ok(Self {
            address,
            prefix: prefix.trim_end_matches('/').to_owned(),
            protocol,
            model: model.to_owned(),
            version: None,
            headers: Vec::new(),
        })
    }

    /// The path of the model over HTTP.
    pub(crate) fn model_path(&self) -> String {
        match &self.version {
            Some(version) => format!("{}/v2/models/{}/versions/{version}", self.prefix, self.model),
            None => format!("{}/v2/models/{}", self.prefix, self.model),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let parse = |url| Target::parse(url, None, "m").unwrap();
        let target = parse("http://localhost:9000/base/");
        assert_eq!((&*target.address, &*target.prefix), ("localhost:9000", "/base"));
        assert_eq!(target.model_path(), "/base/v2/models/m");
        assert_eq!(parse("127.0.0.1").address, "127.0.0.1:8000");
        let grpc = parse("grpc://[::1]");
        assert_eq!((&*grpc.address, grpc.protocol), ("[::1]:8001", Protocol::Grpc));
        assert_eq!(Target::parse("h:1", Some(Protocol::Grpc), "m").unwrap().protocol, Protocol::Grpc);
        for url in
            ["", "http://", "https://host:1", "http://:80", "http://h:99999", "http://u@h:1", "http://h:1/a?b", "h h:1"]
        {
            assert!(Target::parse(url, None, "m").is_err(), "{url}");
        }
        assert!(Target::parse("grpc://h:1", Some(Protocol::HttpJson), "m").is_err());
        assert!(Target::parse("h:1", None, "a/b").is_err());
    }
}
