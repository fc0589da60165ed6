//! The gate, with real threads; all its interleavings are in [`crate::serve::interleavings`].

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::serve::gate::Gate;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn is_empty_only_behind_the_last_of_many() {
    for _ in 0..200 {
        let gate = Arc::new(Gate::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                tokio::spawn(async move {
                    while gate.enter() {
                        inside.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        gate.leave();
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        gate.close();
        tokio::time::timeout(Duration::from_secs(10), gate.closed_and_empty()).await.unwrap();
        assert_eq!(inside.load(Ordering::SeqCst), 0);
        assert!(!gate.enter());
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn waits_for_who_is_inside() {
    let gate = Gate::default();
    assert!(gate.enter());
    gate.close();
    assert_eq!(gate.inside(), 1);
    assert!(tokio::time::timeout(Duration::from_millis(20), gate.closed_and_empty()).await.is_err());
    gate.leave();
    gate.closed_and_empty().await;
    assert!(gate.is_closed() && gate.inside() == 0);
}
