//! The bound of the prediction cache beside the memory that its entries really take.

use contract::{Device, Tensor};
use engine::{
    monitor::Monitor,
    serve::{PredictRequest, Serving, ServingSettings},
    testing::{FakeModel, FakeSettings},
};
use peak_alloc::PeakAlloc;
use std::sync::Arc;

/// Counts what is asked of the allocator. What that rounds up is its own.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const BOUND: usize = 16 << 20;

/// Asks `requests` different questions of `width` numbers; gives the growth of memory and what the cache says of it.
async fn filled(width: usize, requests: usize) -> (usize, u64, u64) {
    let settings = ServingSettings { cache_bytes: BOUND as u64, ..ServingSettings::default() };
    let serving = Serving::new(settings, vec![Device::cpu()], Monitor::new()).unwrap();
    let model = FakeModel::new(FakeSettings { width, ..FakeSettings::default() });
    let input = |number: usize| {
        let mut values = vec![0.5_f32; width];
        values[0] = number as f32;
        Tensor::from_values("features", vec![1, width], &values).unwrap()
    };
    serving.load("m", 1, Arc::new(model)).await.unwrap();
    // What a first request makes for good.
    serving.predict(PredictRequest::new("m", vec![input(requests)])).await.unwrap();
    let before = MEMORY.current_usage();
    for number in 0..requests {
        serving.predict(PredictRequest::new("m", vec![input(number)])).await.unwrap();
    }
    let grown = MEMORY.current_usage().saturating_sub(before);
    let cache = serving.cache_statistics().unwrap();
    assert!(cache.bytes <= cache.capacity_bytes && cache.capacity_bytes == BOUND as u64, "{cache:?}");
    (grown, cache.entries, cache.evicted)
}

/// One test, for nothing else shall take memory meanwhile.
#[tokio::test]
async fn the_bound_is_one_of_real_memory() {
    // Keys of 8 bytes, of 120 and of 64 KiB: much overhead, some, and next to none.
    for (width, requests) in [(2, 40_000), (30, 40_000), (16 << 10, 1_000)] {
        let (grown, entries, evicted) = filled(width, requests).await;
        assert!(evicted > 0 && entries > 0, "{requests} questions of {width} numbers did not fill it");
        let share = grown as f64 / BOUND as f64;
        // Not above the bound but for a tenth, and what is paid for is used.
        assert!((0.5..1.1).contains(&share), "{share:.2} of the bound with {entries} keys of {width} numbers");
    }
}
