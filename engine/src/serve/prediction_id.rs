//! Names of predictions.

use std::{cell::RefCell, fmt, ops::Deref};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::{Builder, Uuid, fmt::Hyphenated};

thread_local! {
    /// Seeded by the system once a thread: asking it for every answer is a system call for every answer.
    static RANDOM: RefCell<StdRng> = RefCell::new(StdRng::from_rng(&mut rand::rng()));
}

/// The name of a prediction: a fresh UUID (version 7, RFC 9562) in its hyphenated form, which needs no memory of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PredictionId([u8; Hyphenated::LENGTH]);

impl PredictionId {
    /// A name that was never used before: the time in milliseconds and 74 random bits.
    #[must_use]
    pub fn fresh() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let random = RANDOM.try_with(|random| random.borrow_mut().random());
        // The thread is ending and its generator is gone already.
        let random: [u8; 10] = random.unwrap_or_else(|_| rand::rng().random());
        Self::from(Builder::from_unix_timestamp_millis(since.as_millis() as u64, &random).into_uuid())
    }

    /// The name whose UUID has these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from(Uuid::from_bytes(bytes))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It is made of ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<Uuid> for PredictionId {
    fn from(uuid: Uuid) -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        uuid.hyphenated().encode_lower(&mut text);
        Self(text)
    }
}

impl Deref for PredictionId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for PredictionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for PredictionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn is_another_every_time_on_every_thread() {
        let many = || (0..10_000).map(|_| PredictionId::fresh()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(many)).collect();
        let all: Vec<PredictionId> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        for id in &all {
            let uuid = Uuid::try_parse(id).unwrap();
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!(uuid.to_string(), id.to_string());
        }
    }

    #[test]
    fn begins_with_the_time() {
        let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let id = PredictionId::fresh();
        let (seconds, nanos) = Uuid::try_parse(&id).unwrap().get_timestamp().unwrap().to_unix();
        let told = std::time::Duration::new(seconds, nanos);
        assert!(told.as_millis() >= before.as_millis() && told.as_millis() <= before.as_millis() + 10_000);
    }
}
