//! Rows shared out over threads, and memory that calls use again.

use parking_lot::Mutex;

use crate::{
    linear::LEAST_ROWS,
    simd::Line,
    team::{Help, Team},
};

/// Memory for calls, to be used again: a thread's own. It grows to what the largest call needs.
#[derive(Debug, Default)]
pub struct Scratch {
    /// One for each thread that works on a call.
    parts: Vec<Vec<Line>>,
    team: Team,
}

/// Multiplications that are worth waking a thread for: about 20 µs of one core.
const SHARED_FROM: usize = 1 << 20;

/// Bytes between layers that stay in a core's second cache beside the weights that pass through it.
const KEPT: usize = 384 << 10;

/// A net as this module sees it.
pub(crate) trait Forward: Sync {
    /// Values of a row.
    fn inputs(&self) -> usize;
    /// Values of a row's answer.
    fn outputs(&self) -> usize;
    /// Multiplications a row.
    fn products(&self) -> usize;
    /// Values that a row needs between layers.
    fn between(&self) -> usize;
    /// Rows of the matrices that one row becomes.
    fn abreast(&self) -> usize;
    /// Bytes held.
    fn bytes(&self) -> usize;

    /// Answers as many rows as there are, with memory of [`Forward::between`] values for each; what is in it is any.
    fn forward(&self, rows: &[f32], between: &mut [f32], out: &mut [f32], help: &mut Option<Help<'_>>);
}

/// Answers rows of [`Forward::inputs`] values, at least one, on this thread and others.
pub(crate) fn answer(net: &dyn Forward, rows: &[f32], scratch: &mut Scratch, out: &mut [f32]) {
    let count = rows.len() / net.inputs();
    // Rows at once: a whole number of the largest tiles.
    let most = (KEPT / size_of::<f32>() / net.between().max(1)).clamp(1, 384);
    let most = if most > 12 { most - most % 12 } else { most };
    let matrix_rows = count.saturating_mul(net.abreast());
    let weights = net.products() / net.abreast();
    let worth = weights.saturating_mul(matrix_rows.max(LEAST_ROWS)) / SHARED_FROM;
    // The pool is made by the first question for its threads.
    let useful = if worth < 2 { 1 } else { worth.min(rayon::current_num_threads()) };
    let threads = useful.min(matrix_rows / LEAST_ROWS).min(count).max(1);
    let mut help = (useful > 1 && threads == 1).then(|| scratch.team.ask());
    if scratch.parts.len() < threads {
        scratch.parts.resize_with(threads, Vec::new);
    }
    let pieces = count.div_ceil(most).next_multiple_of(threads);
    let size = count.div_ceil(pieces);
    let pieces = rows.chunks(size * net.inputs()).zip(out.chunks_mut(size * net.outputs()));
    let one = |part: &mut Vec<Line>, rows: &[f32], out: &mut [f32], help: &mut Option<Help<'_>>| {
        let values = size * net.between();
        let lines = values.div_ceil(size_of::<Line>() / size_of::<f32>());
        if part.len() < lines {
            part.resize(lines, Line::ZERO);
        }
        let between = &mut bytemuck::cast_slice_mut(part)[..out.len() / net.outputs() * net.between()];
        net.forward(rows, between, out, help);
    };
    let Some((own, others)) = scratch.parts[..threads].split_first_mut() else { return };
    if others.is_empty() {
        pieces.for_each(|(rows, out)| one(own, rows, out, &mut help));
        return;
    }
    let pieces = Mutex::new(pieces);
    let work = |part: &mut Vec<Line>| {
        loop {
            let piece = pieces.lock().next();
            let Some((rows, out)) = piece else { break };
            one(part, rows, out, &mut None);
        }
    };
    rayon::in_place_scope(|scope| {
        for part in others {
            let work = &work;
            scope.spawn(move |_scope| work(part));
        }
        work(own);
    });
}
