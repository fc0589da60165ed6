//! Many requests at once, some of them cancelled, late or poisonous, with a shutdown in the middle.

use contract::RunError;
use proptest::prelude::*;

use super::*;
use crate::Error;

const PANICS: f32 = -1.0;
const PANICS_LATE: f32 = -2.0;
const FAILS: f32 = -3.0;

#[derive(Clone, Debug)]
struct Sent {
    rows: usize,
    poison: Option<f32>,
    cancel_after_micros: Option<u64>,
    timeout_millis: u64,
    pause_micros: u64,
}

fn sent() -> impl Strategy<Value = Sent> {
    let poison = prop_oneof![
        12 => Just(None),
        1 => Just(Some(PANICS)),
        1 => Just(Some(PANICS_LATE)),
        1 => Just(Some(FAILS)),
    ];
    let cancel = prop::option::weighted(0.15, 0..2000_u64);
    let timeout = prop_oneof![4 => Just(20_000_u64), 1 => 1..6_u64];
    (1..30_usize, poison, cancel, timeout, 0..200_u64).prop_map(
        |(rows, poison, cancel_after_micros, timeout_millis, pause_micros)| Sent {
            rows,
            poison,
            cancel_after_micros,
            timeout_millis,
            pause_micros,
        },
    )
}

async fn play(sent: Vec<Sent>, shutdown_after: Option<usize>, delay: Duration) {
    let fake = FakeSettings {
        batch_micros: 100,
        panic_on: Some(PANICS),
        panic_late_on: Some(PANICS_LATE),
        fail_on: Some(FAILS),
        ..FakeSettings::default()
    };
    let (serving, probe) = with_model(ServingSettings { max_queue_delay: delay, ..settings() }, fake).await;
    let poisoned = sent.iter().any(|sent| sent.poison.is_some());
    let mut tasks = Vec::new();
    let mut shutdown = None;
    for (index, sent) in sent.into_iter().enumerate() {
        if shutdown_after == Some(index) {
            let serving = serving.clone();
            shutdown = Some(tokio::spawn(async move { serving.shutdown(Duration::ZERO).await }));
        }
        tokio::time::sleep(Duration::from_micros(sent.pause_micros)).await;
        let mut values: Vec<f32> = (0..sent.rows).map(|row| (index * 100 + row) as f32).collect();
        if let Some(poison) = sent.poison {
            values[sent.rows / 2] = poison;
        }
        let request = timed(values.clone(), Duration::from_millis(sent.timeout_millis));
        let client = serving.clone();
        let task = tokio::spawn(async move {
            let answer = client.predict(request);
            match sent.cancel_after_micros {
                None => Some(answer.await),
                Some(micros) => tokio::time::timeout(Duration::from_micros(micros), answer).await.ok(),
            }
        });
        tasks.push((task, sent, values));
    }
    for (task, sent, values) in tasks {
        let ended =
            tokio::time::timeout(Duration::from_secs(30), task).await.expect("a request got no answer").unwrap();
        match ended {
            None => assert!(sent.cancel_after_micros.is_some()),
            Some(Ok(prediction)) => {
                assert!(sent.poison.is_none());
                assert_eq!(sums(&prediction), values);
            }
            Some(Err(Error::Run(RunError::Failed { .. }))) => assert!(poisoned),
            Some(Err(
                Error::DeadlineExceeded { .. }
                | Error::DeadlineUnreachable { .. }
                | Error::Overloaded { .. }
                | Error::TooLate { .. },
            )) => {
                assert!(sent.timeout_millis < 20_000);
            }
            Some(Err(Error::ShuttingDown)) => assert!(shutdown_after.is_some()),
            Some(Err(other)) => panic!("unexpected: {other}"),
        }
    }
    if let Some(shutdown) = shutdown {
        shutdown.await.unwrap();
    } else {
        // Everything is given back, and the next request is served as the first one was.
        eventually("an empty queue", || serving.inner.pool.executors()[0].queued_rows() == 0).await;
        assert_eq!(sums(&serving.predict(request([7.0])).await.unwrap()), [7.0]);
        serving.shutdown(Duration::from_secs(10)).await;
    }
    eventually("the drop of the replica", || probe.drops() == 1).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn every_request_ends_in_its_own_rows_or_a_true_error(
        sent in prop::collection::vec(sent(), 1..60),
        shutdown_at in prop::option::of(any::<prop::sample::Index>()),
        delay_micros in prop_oneof![Just(0_u64), Just(500)],
    ) {
        let shutdown_after = shutdown_at.map(|at| at.index(sent.len()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap();
        runtime.block_on(play(sent, shutdown_after, Duration::from_micros(delay_micros)));
    }
}
