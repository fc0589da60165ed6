//! The units of one layer shared out: where rows are too few to be, and the weights too many for one core to read.
//!
//! A thread of the pool is asked to help, and is not waited for: parts of a layer are claimed one by one, by the caller from the
//! front and by who helps from the back, so that each finds its own weights in its core's cache again. Who comes late or never
//! has claimed nothing, and all is done by the caller.

#![expect(unsafe_code, reason = "what is claimed is borrowed from a caller who waits until it is done")]

use std::{
    cell::UnsafeCell,
    hint, panic,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

/// How often who helps looks for work in vain before it goes: some 20 µs.
const PATIENCE: usize = 600;
/// How often the caller looks before it lets others have its core.
const IMPATIENCE: usize = 10_000;
/// The most parts of a task.
const MOST_PARTS: usize = u16::MAX as usize;

/// Those who help one caller.
#[derive(Debug, Default)]
pub(crate) struct Team {
    board: Option<Arc<Board>>,
}

/// What is to be done: `run(data, part)` for each part.
#[derive(Clone, Copy, Debug)]
struct Task {
    run: unsafe fn(*const (), usize),
    data: *const (),
}

#[derive(Debug)]
struct Board {
    /// The number of the task (32 bits), the first part that is not claimed, and the one behind the last (16 bits each).
    ticket: AtomicU64,
    done: AtomicUsize,
    /// Whether someone has been asked, and has not gone.
    asked: AtomicBool,
    task: UnsafeCell<Task>,
}

// SAFETY: `task` is written when no part of it is claimed or can be (the ticket is used up, and all parts are done), and read
// by those who have claimed a part, between the ticket's release and the last part's.
unsafe impl Sync for Board {}
// SAFETY: as above; the pointers are followed under a claim alone.
unsafe impl Send for Board {}

unsafe fn nothing(_data: *const (), _part: usize) {}

impl Default for Board {
    fn default() -> Self {
        Self {
            ticket: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            task: UnsafeCell::new(Task { run: nothing, data: std::ptr::null() }),
        }
    }
}

impl Team {
    /// Asks a thread of the present pool to help with what comes next.
    pub(crate) fn ask(&mut self) -> Help<'_> {
        let board = self.board.get_or_insert_default();
        if !board.asked.swap(true, Ordering::AcqRel) {
            let board = Arc::clone(board);
            rayon::spawn(move || board.help());
        }
        Help(board)
    }
}

/// A caller's way to those who help. There is one at a time: [`Team::ask`] borrows the team.
#[derive(Debug)]
pub(crate) struct Help<'a>(&'a Board);

impl Help<'_> {
    /// Runs `work` for each of `parts`, each once, and returns when all are done.
    pub(crate) fn share<F: Fn(usize) + Sync>(&mut self, parts: usize, work: &F) {
        unsafe fn run<F: Fn(usize) + Sync>(data: *const (), part: usize) {
            // SAFETY: `share` puts a pointer to an `F` beside this function, and waits while a part is claimed.
            unsafe { (*data.cast::<F>())(part) }
        }
        if !(2..=MOST_PARTS).contains(&parts) {
            (0..parts).for_each(work);
            return;
        }
        let Self(board) = self;
        let number = (board.ticket.load(Ordering::Relaxed) >> 32).wrapping_add(1) & u64::from(u32::MAX);
        // SAFETY: the last task is done, or there was none, so nobody reads.
        unsafe { *board.task.get() = Task { run: run::<F>, data: std::ptr::from_ref(work).cast() } };
        board.done.store(0, Ordering::Relaxed);
        board.ticket.store(number << 32 | parts as u64, Ordering::Release);
        // Waits even when a part of the caller's own panics.
        let _all = Wait { board, parts };
        while let Some(claim) = board.claim(true) {
            claim.run();
        }
    }
}

/// Waits, when it is dropped, until all parts are done.
struct Wait<'a> {
    board: &'a Board,
    parts: usize,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        // Parts that nobody has claimed, because the caller panics, are not run.
        let mut left = 0;
        while let Some(claim) = self.board.claim(true) {
            left += 1;
            std::mem::forget(claim);
        }
        let mut looks = 0;
        while self.board.done.load(Ordering::Acquire) + left < self.parts {
            looks += 1;
            if looks < IMPATIENCE { hint::spin_loop() } else { thread::yield_now() }
        }
    }
}

/// A part that one thread alone has.
struct Claim<'a> {
    board: &'a Board,
    part: usize,
}

impl Claim<'_> {
    fn run(self) {
        // SAFETY: under a claim, the task is not written.
        let task = unsafe { *self.board.task.get() };
        // SAFETY: the caller who wrote the task waits until this part is done.
        unsafe { (task.run)(task.data, self.part) }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.board.done.fetch_add(1, Ordering::Release);
    }
}

impl Board {
    fn claim(&self, first: bool) -> Option<Claim<'_>> {
        let mut ticket = self.ticket.load(Ordering::Acquire);
        loop {
            let (low, high) = (ticket >> 16 & 0xFFFF, ticket & 0xFFFF);
            if low >= high {
                return None;
            }
            let (part, rest) = if first { (low, ticket + (1 << 16)) } else { (high - 1, ticket - 1) };
            match self.ticket.compare_exchange_weak(ticket, rest, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Claim { board: self, part: part as usize }),
                Err(now) => ticket = now,
            }
        }
    }

    /// Helps until there has been nothing to do for a while.
    fn help(&self) {
        let mut looks = 0;
        while looks < PATIENCE {
            if let Some(claim) = self.claim(false) {
                looks = 0;
                // A panic here would end the process; the caller's own parts tell of it.
                let _told = panic::catch_unwind(panic::AssertUnwindSafe(|| claim.run()));
            } else {
                looks += 1;
                hint::spin_loop();
            }
        }
        self.asked.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once() {
        let mut team = Team::default();
        for round in 0..2000_usize {
            let counts: Vec<AtomicUsize> = (0..round % 40).map(|_| AtomicUsize::new(0)).collect();
            let mut help = team.ask();
            for times in 1..4 {
                help.share(counts.len(), &|part| {
                    counts[part].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == times));
            }
        }
    }

    #[test]
    fn a_panic_of_the_caller_waits_for_the_others() {
        let mut team = Team::default();
        for _ in 0..200 {
            let running = AtomicUsize::new(0);
            let caller = thread::current().id();
            let told = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                team.ask().share(16, &|part| {
                    running.fetch_add(1, Ordering::SeqCst);
                    if part == 3 && thread::current().id() == caller {
                        running.fetch_sub(1, Ordering::SeqCst);
                        panic!("on purpose");
                    }
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }));
            assert_eq!(running.load(Ordering::SeqCst), 0, "{}", told.is_err());
        }
        let done = AtomicUsize::new(0);
        team.ask().share(5, &|_part| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 5);
    }
}
