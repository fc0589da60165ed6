//! `Cache-Control` of requests (RFC 9111, section 5.2.1), alike in HTTP headers, gRPC metadata and gRPC parameters.
//!
//! | directive | what it does |
//! | --- | --- |
//! | `no-cache` | computes; the answer is kept for others |
//! | `no-store` | computes; the answer is not kept |
//! | `max-age=N` | takes a kept answer of at most `N` seconds, or of one that is being computed now |
//! | `only-if-cached` | takes a kept answer or none: 504 |
//!
//! Where several say different things, the strictest holds. What is unknown or malformed is ignored, as the RFC asks; so are
//! `min-fresh`, `max-stale` and `no-transform`, which it leaves to the cache.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use engine::serve::CacheUse;
use tonic::metadata::MetadataMap;

/// Name of the header, and of the metadata of a call.
const NAME: &str = "cache-control";

/// What the headers of a request say.
pub(crate) fn of_headers(headers: &HeaderMap) -> CacheUse {
    headers.get_all(CACHE_CONTROL).map(HeaderValue::as_bytes).fold(CacheUse::FULL, narrowed)
}

/// What the metadata of a call say.
pub(crate) fn of_metadata(metadata: &MetadataMap) -> CacheUse {
    metadata.get_all(NAME).iter().fold(CacheUse::FULL, |cache, value| narrowed(cache, value.as_bytes()))
}

/// What a parameter of a request says.
pub(crate) fn of_parameter(value: &str) -> CacheUse {
    narrowed(CacheUse::FULL, value.as_bytes())
}

/// `cache` as the value of one header narrows it.
fn narrowed(cache: CacheUse, value: &[u8]) -> CacheUse {
    directives(value).fold(cache, |cache, directive| {
        let mut parts = directive.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match parts.next() {
            None if is("no-cache") => CacheUse { read: false, ..cache },
            None if is("no-store") => CacheUse { read: false, store: false, ..cache },
            None if is("only-if-cached") => CacheUse { only_cached: true, ..cache },
            Some(seconds) if is("max-age") => {
                CacheUse { max_age: cache.max_age.into_iter().chain(delta_seconds(seconds)).min(), ..cache }
            }
            _ => cache,
        }
    })
}

/// The parts between commas, those within quotes excepted.
fn directives(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(move |byte| {
        let after_backslash = std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && !after_backslash => escaped = true,
            b'"' if !after_backslash => quoted = !quoted,
            _ => {}
        }
        *byte == b',' && !quoted
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

/// Whole seconds, in quotes or not. Who asks for more than can be counted means forever.
fn delta_seconds(text: &[u8]) -> Option<Duration> {
    let digits = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add((digit & 0x0f).into()));
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn max_age(seconds: u64) -> CacheUse {
        CacheUse { max_age: Some(Duration::from_secs(seconds)), ..CacheUse::FULL }
    }

    #[test]
    fn directives_narrow_what_the_cache_may_do() {
        let no_cache = CacheUse { read: false, ..CacheUse::FULL };
        for (value, expected) in [
            ("", CacheUse::FULL),
            ("no-cache", no_cache),
            ("No-Cache", no_cache),
            ("no-store", CacheUse::NONE),
            ("no-cache,no-store", CacheUse::NONE),
            ("only-if-cached", CacheUse { only_cached: true, ..CacheUse::FULL }),
            ("max-age=0", max_age(0)),
            (" , max-age=10 ,", max_age(10)),
            ("max-age=\"10\"", max_age(10)),
            ("max-age=10, max-age=3", max_age(3)),
            ("max-age=3, MAX-AGE=10", max_age(3)),
            ("max-age=99999999999999999999999", max_age(u64::MAX)),
            ("no-cache, max-age=5", CacheUse { read: false, ..max_age(5) }),
            ("x=\"a, no-store\", max-age=7", max_age(7)),
            ("x=\"a\\\", no-store\", max-age=7", max_age(7)),
        ] {
            assert_eq!(of_parameter(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_malformed_is_ignored() {
        for value in [
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=+1",
            "max-age=1.5",
            "max-age=soon",
            "max-age= 1",
            "max-age=\"\"",
            "max-age=\"1",
            "no-cache=x",
            "no-store=",
            "only-if-cached=1",
            "nocache",
            "no cache",
            "=",
            "\"no-store\"",
            "min-fresh=1",
            "max-stale",
            "no-transform",
            "x=\"no-store, no-cache",
        ] {
            assert_eq!(of_parameter(value), CacheUse::FULL, "{value}");
        }
        assert_eq!(of_parameter("max-age=soon, max-age=4, no-cache=x"), max_age(4));
    }

    #[test]
    fn several_headers_are_one() {
        let request =
            TestRequest::get().append_header((NAME, "max-age=9")).append_header((NAME, "no-cache")).to_http_request();
        assert_eq!(of_headers(request.headers()), CacheUse { read: false, ..max_age(9) });
        assert_eq!(of_headers(TestRequest::get().to_http_request().headers()), CacheUse::FULL);
        let mut metadata = MetadataMap::new();
        assert_eq!(of_metadata(&metadata), CacheUse::FULL);
        metadata.append(NAME, "max-age=9".parse().unwrap());
        metadata.append(NAME, "no-cache".parse().unwrap());
        assert_eq!(of_metadata(&metadata), CacheUse { read: false, ..max_age(9) });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(value in prop::collection::vec(any::<u8>(), 0..80)) {
            let cache = narrowed(CacheUse::FULL, &value);
            prop_assert!(cache.store || !cache.read);
        }
    }
}
