//! Durations, sizes and other words as text: `200us`, `5m`, `64MiB`. The same forms in flags, environment and files.

use std::time::Duration;

/// Reads a duration: a whole number with `us`, `ms`, `s`, `m` or `h`, or `0`.
///
/// # Errors
/// One sentence that says what was expected and what came.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a duration such as 200us, 50ms, 30s, 5m or 2h, got '{text}'");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let micros: u64 = match unit {
        "us" | "µs" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "" if number == 0 => 0,
        _ => return Err(wrong()),
    };
    number.checked_mul(micros).map(Duration::from_micros).ok_or_else(wrong)
}

/// Reads a size in bytes: a whole number, alone or with `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
///
/// # Errors
/// One sentence that says what was expected and what came.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("expected a size such as 4096, 64MiB or 2GiB, got '{text}'");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(bytes).ok_or_else(wrong)
}

/// Checks the form `HOST:PORT`; whether the host exists is found out when it is bound.
pub(super) fn parse_address(text: &str) -> Result<String, String> {
    let wrong = || format!("expected HOST:PORT such as 127.0.0.1:8080, got '{text}'");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    port.parse::<u16>().map_err(|_| wrong())?;
    if host.is_empty() { Err(wrong()) } else { Ok(text.to_owned()) }
}

/// As [`parse_address`], or nothing.
pub(super) fn parse_optional_address(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { parse_address(text) }
}

/// Reads a fraction from 0 to 1.
pub(super) fn parse_fraction(text: &str) -> Result<f64, String> {
    let fraction = text.trim().parse().ok().filter(|fraction: &f64| (0.0..=1.0).contains(fraction));
    fraction.ok_or_else(|| format!("expected a fraction from 0 to 1 such as 0.01, got '{text}'"))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Durations in files: text as [`parse_duration`] reads it.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}us", duration.as_micros()))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Sizes in files: a whole number, or text as [`parse_bytes`] reads it.
pub(super) mod bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Number(u64),
        Text(String),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(in super::super) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*bytes)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match Size::deserialize(deserializer)? {
            Size::Number(number) => Ok(number),
            Size::Text(text) => super::parse_bytes(&text).map_err(D::Error::custom),
        }
    }
}

/// Whatever prints and reads back as text.
pub(super) mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr,
        T::Err: Display,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        assert_eq!(parse_duration("200us"), Ok(Duration::from_micros(200)));
        assert_eq!(parse_duration("50 ms"), Ok(Duration::from_millis(50)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        for text in ["", "5", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "99999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_sizes() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("2 GB"), Ok(2_000_000_000));
        for text in ["", "MiB", "-1", "1.5MiB", "1mib", "99999999999GiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_fractions() {
        assert_eq!(["0", "1", "0.25", "1e-3"].map(parse_fraction), [0.0, 1.0, 0.25, 1e-3].map(Ok));
        for text in ["", "-0.1", "1.1", "NaN", "inf", "half", "10%"] {
            assert!(parse_fraction(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_addresses() {
        assert!(parse_address("[::1]:0").is_ok());
        assert!(parse_address("localhost:8080").is_ok());
        for text in ["", "localhost", ":80", "localhost:99999", "localhost:http"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
