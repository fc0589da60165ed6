//! Explanations of answers.
//!
//! They cost a hundred times what the answers do, and none of the request path's threads: each is computed on a thread of the
//! control runtime, row by row, until its client is gone or its time is over. There are as many at once as the machine has cores,
//! and what is more is refused at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use contract::{Model, RowBlock, Tensor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Engine;
use crate::{Error, Result};

/// Name of what each column adds.
const VALUES: &str = "shap_values";
/// Name of what is expected.
const EXPECTED: &str = "shap_expected";
/// When a place may be free again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bounds how many explanations are computed at once.
pub(super) struct Explaining {
    places: Arc<Semaphore>,
    limit: usize,
}

impl Explaining {
    pub(super) fn new() -> Self {
        let limit = thread::available_parallelism().map_or(1, usize::from);
        Self { places: Arc::new(Semaphore::new(limit)), limit }
    }

    /// A place for one explanation, kept until the permit is dropped.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit> {
        let busy = |_| Error::Explaining { limit: self.limit, retry_after: RETRY_AFTER };
        Arc::clone(&self.places).try_acquire_owned().map_err(busy)
    }
}

/// Tells the thread that computes that nobody waits any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Engine {
    /// Explains what `model` answers to `inputs`, within `limit` of now. The place is kept until no thread computes any more.
    pub(super) async fn explained_by(
        &self,
        place: OwnedSemaphorePermit,
        model: Arc<dyn Model>,
        inputs: Vec<Tensor>,
        limit: Duration,
    ) -> Result<Vec<Tensor>> {
        let gone = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(Arc::clone(&gone));
        let began = Instant::now();
        let computed = self.off_the_web(move || {
            let _place = place;
            explain(model.as_ref(), &inputs, || {
                if began.elapsed() > limit {
                    return Err(Error::DeadlineExceeded { after: limit });
                }
                // Nobody reads this answer.
                if gone.load(Ordering::Relaxed) { Err(Error::ShuttingDown) } else { Ok(()) }
            })
        });
        let explanation = computed.await;
        drop(waiting);
        explanation
    }
}

/// The values of all rows, and what is expected of them; `go_on` is asked before each row.
fn explain(model: &dyn Model, inputs: &[Tensor], go_on: impl Fn() -> Result<()>) -> Result<Vec<Tensor>> {
    let explainer = model.explain()?;
    let mut block = RowBlock::default();
    let rows = model.encode(inputs, &mut block)?.rows;
    let (margins, columns) = (explainer.margins(), explainer.columns());
    // What is there for sure; a row's own room comes with the row.
    let (mut values, mut expected) = (Vec::new(), Vec::new());
    let mut one = vec![0.0; margins * (columns + 1)];
    for row in 0..rows {
        go_on()?;
        explainer.row(&block, row, &mut one)?;
        for margin in one.chunks_exact(columns + 1) {
            values.extend_from_slice(&margin[..columns]);
            expected.push(margin[columns]);
        }
    }
    let shape = |last: &[usize]| {
        let margins = (margins != 1).then_some(margins);
        std::iter::once(rows).chain(margins).chain(last.iter().copied()).collect::<Vec<_>>()
    };
    Ok(vec![
        Tensor::from_values(VALUES, shape(&[columns]), &values)?,
        Tensor::from_values(EXPECTED, shape(&[]), &expected)?,
    ])
}
