//! How often a request allocates, from the bytes of its socket to the bytes of its answer. The counts are what they are, neither
//! more nor less, with and without optimisation: who makes a request allocate more should know it, and who saves one writes the
//! new count here, so that it is not lost again unseen.

#![cfg(test)]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "harness/mod.rs"]
mod harness;

use std::{
    alloc::System,
    io::{Read, Write},
    net::TcpStream,
};

use engine::{serve::ServingSettings, testing::FakeSettings};
use harness::blocking::Api;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests that are counted together.
const ROUND: u64 = 100;
/// Rounds, of which the least counts: others hold what the background did meanwhile, or a table that grew.
const ROUNDS: usize = 20;

/// A client that allocates nothing itself.
struct Client {
    stream: TcpStream,
    answer: [u8; 4096],
}

impl Client {
    fn ask(&mut self, request: &[u8]) {
        self.stream.write_all(request).unwrap();
        let read = self.stream.read(&mut self.answer).unwrap();
        assert!(self.answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.answer[..read]));
        assert!(self.answer[..read].ends_with(b"}"), "the answer came in parts");
    }
}

/// Allocations of one request: the `n`th is made by `request` and written where the last one was.
fn allocations(api: &Api, mut request: impl FnMut(u64, &mut Vec<u8>)) -> u64 {
    let stream = TcpStream::connect(api.http).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut client = Client { stream, answer: [0; 4096] };
    let mut bytes = Vec::with_capacity(1024);
    let mut count = 0;
    let mut round = || {
        let before = Region::new(COUNTED);
        for _ in 0..ROUND {
            request(count, &mut bytes);
            client.ask(&bytes);
            count += 1;
        }
        let Stats { allocations, reallocations, .. } = before.change();
        (allocations + reallocations) as u64
    };
    round();
    let least = (0..ROUNDS).map(|_| round()).min().unwrap();
    // What comes once in a while is not the request's own. It only adds, so this is no less than what the request does.
    least / ROUND
}

/// Writes an inference of two numbers, the first of which is `number`.
fn write_request(bytes: &mut Vec<u8>, model: &str, number: u64) {
    const HEAD: &str = r#"{"inputs":[{"name":"features","datatype":"FP32","shape":[1,2],"data":["#;
    // Always as many digits, so that the length is known.
    let length = HEAD.len() + "1000000,2]}]}".len();
    bytes.clear();
    let number = 1_000_000 + number;
    write!(
        bytes,
        "POST /v2/models/{model}/infer HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{HEAD}{number},2]}}]}}"
    )
    .unwrap();
}

/// One test, for nothing else shall allocate meanwhile.
#[test]
fn a_request_allocates_as_often_as_it_did() {
    let direct = FakeSettings { direct: true, ..FakeSettings::default() };
    let models = [("direct", direct), ("queued", FakeSettings::default())];
    let cached = Api::with(&models, &[], ServingSettings::default());
    let uncached = Api::with(&models, &[], ServingSettings { cache_bytes: 0, ..ServingSettings::default() });
    let same = |bytes: &mut Vec<u8>| write_request(bytes, "direct", 0);
    let counts = [
        ("from the cache", 21, allocations(&cached, |_, bytes| same(bytes))),
        ("on its own thread", 31, allocations(&uncached, |number, bytes| write_request(bytes, "direct", number))),
        ("by the executor", 34, allocations(&uncached, |number, bytes| write_request(bytes, "queued", number))),
        ("missed and kept", 34, allocations(&cached, |number, bytes| write_request(bytes, "direct", number))),
    ];
    let moved = counts.iter().filter(|(_way, expected, count)| expected != count);
    let moved: Vec<_> =
        moved.map(|(way, expected, count)| format!("{way}: expected {expected}, got {count}")).collect();
    assert!(moved.is_empty(), "allocations of a request {}; what is meant is to be written here", moved.join(", "));
}
