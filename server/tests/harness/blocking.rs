//! The server with a runtime of its own, and a small HTTP client for it.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    time::{Duration, Instant},
};

use engine::{serve::ServingSettings, testing::FakeSettings};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{House, Kind};

/// A server that is stopped when it is dropped.
pub(crate) struct Api {
    house: House,
    pub(crate) control: Runtime,
}

impl Deref for Api {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl DerefMut for Api {
    fn deref_mut(&mut self) -> &mut House {
        &mut self.house
    }
}

impl Api {
    fn new(start: impl Future<Output = House>) -> Self {
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { house: control.block_on(start), control }
    }

    /// A server without models, with these flags and serving settings.
    pub(crate) fn empty(flags: &[&str], serving: ServingSettings) -> Self {
        Self::new(House::empty(flags, serving))
    }

    /// A server without models that may change its process's logs, which are filtered by `log` at first: one a process.
    pub(crate) fn with_logs(log: &str) -> Self {
        Self::new(House::with_logs(log))
    }

    /// A server of `models`, each version 1 under its name, with these flags and serving settings.
    pub(crate) fn with(models: &[(&str, FakeSettings)], flags: &[&str], serving: ServingSettings) -> Self {
        let api = Self::empty(flags, serving);
        for (name, settings) in models {
            api.register(name, settings);
        }
        api.refresh();
        api
    }

    /// A server of the model `sum`, which adds two numbers up.
    pub(crate) fn sum() -> Self {
        Self::with(&[("sum", FakeSettings::default())], &[], ServingSettings::default())
    }

    pub(crate) fn register(&self, name: &str, settings: &FakeSettings) -> u32 {
        self.control.block_on(self.house.register(name, settings))
    }

    pub(crate) fn publish(&self, name: &str, settings: &FakeSettings) -> u32 {
        self.control.block_on(self.house.publish(name, settings))
    }

    pub(crate) fn publish_other(&self, name: &str, kind: Kind, save: impl FnOnce(&Path)) -> u32 {
        self.control.block_on(self.house.publish_other(name, kind, save))
    }

    pub(crate) fn refresh(&self) {
        self.control.block_on(self.house.refresh());
    }

    pub(crate) fn set_alias(&self, model: &str, alias: &str, version: u32) {
        self.control.block_on(self.house.set_alias(model, alias, version));
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body)
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, body)
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.try_send(method, path, &[], body.as_bytes()).unwrap()
    }

    /// Sends a request as a small HTTP client: no content type, the length as it is.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(20)));
        let agent: ureq::Agent = config.allow_non_standard_methods(true).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec()).unwrap();
        let request = agent.configure_request(request).allow_non_standard_methods(true).build();
        let mut response = agent.run(request)?;
        let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(running) = self.house.running.take() {
            self.house.release();
            self.control.block_on(running.stop()).unwrap();
        }
    }
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    /// The body as text.
    pub(crate) body: String,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Waits until something happened, or fails.
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
