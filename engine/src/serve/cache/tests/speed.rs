//! What a look-up costs: `cargo test --release -p engine -- --ignored --nocapture cost_of_a_hit`.

use std::hint::black_box;

use super::*;

/// Few enough that most samples are taken within one time slice of a busy machine.
const ROUNDS: u32 = 2_000;
const SAMPLES: usize = 500;

fn nanos(rounds: u32, mut work: impl FnMut()) -> f64 {
    let one = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        (0..rounds).for_each(|_| work());
        began.elapsed().as_nanos() as f64 / f64::from(rounds)
    };
    // The least of several is the one that was disturbed least.
    (0..SAMPLES).map(|_| one(&mut work)).fold(f64::INFINITY, f64::min)
}

#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_a_hit() {
    let cache = AnswerCache::new(64 << 20, Arc::new(Instant::now)).unwrap();
    let ttl = Duration::from_hours(1);
    for (name, floats, rounds) in [("30 floats", 30, ROUNDS), ("64 KiB", 16 << 10, ROUNDS / 40)] {
        let values: Vec<f32> = (0_u16..).map(f32::from).take(floats).collect();
        let inputs = [Tensor::from_values("features", vec![1, floats], &values).unwrap()];
        let miss = missed(ask_on(&cache, 0, &inputs, CacheUse::FULL, ttl));
        let mut key = Vec::new();
        let terms = Terms { cache: CacheUse::FULL, ttl, asked: Instant::now(), urgency: usual(&cache) };
        let question = Question { deployment: 0, revision: 0, wanted: &[], inputs: &inputs, terms };
        let missing = nanos(rounds, || {
            black_box(cache.look_up(&Question { deployment: 1, ..question }));
        });
        cache.compute_once(&miss, async { Ok(answer(&[1])) }).await.unwrap();
        let hit = nanos(rounds, || assert!(matches!(cache.look_up(black_box(&question)), LookUp::Hit(..))));
        let writing = nanos(rounds, || {
            key.clear();
            question.write(black_box(&mut key));
        });
        let hashing = nanos(rounds, || {
            black_box(question.key(black_box(&key), &cache.hasher));
        });
        let kept = question.key(&key, &cache.hasher).kept();
        let finding = nanos(rounds, || assert!(cache.answers.try_get(&black_box(&kept).borrowed()).is_ok()));
        println!(
            "{name}: hit {hit:.0} ns (key {writing:.0}, hash {hashing:.0}, find {finding:.0}), miss {missing:.0} ns"
        );
    }
}
