//! The queue in front of a log, and the thread that formats and writes what is in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use super::{entry::Entry, file::LogFile};

/// Lines that wait to be written; more are lost.
const WAITING: usize = 8192;
/// Bytes of bodies that wait to be written; a line with more is lost.
const WAITING_BYTES: usize = 64 << 20;
/// Lines are written together up to so many bytes.
const TOGETHER: usize = 64 << 10;
/// Longest time to wait for what is not written at the end.
const LAST: Duration = Duration::from_secs(1);

pub(super) struct Sink {
    messages: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    dropped: AtomicU64,
    waiting_bytes: AtomicUsize,
}

enum Message {
    Line(Arc<Entry>),
    /// Answers when all before it is written.
    Flush(SyncSender<()>),
}

impl Sink {
    /// Starts the thread of log `name`, which ends with the sink.
    pub(super) fn start(name: &'static str, file: LogFile) -> Self {
        let (messages, receiver) = sync_channel(WAITING);
        let shared = Arc::<Shared>::default();
        let writer = Writer { name, file, shared: Arc::clone(&shared), lines: Vec::new(), count: 0, failed: false };
        let started = thread::Builder::new().name(format!("{name}-log")).spawn(move || writer.run(&receiver));
        if let Err(error) = started {
            // Without its receiver the queue loses everything, which is counted.
            tracing::error!(%error, log = name, "no thread for the log");
        }
        Self { messages, shared }
    }

    /// Has a line written, unless too much waits already.
    pub(super) fn write(&self, entry: &Arc<Entry>) {
        let bytes = entry.kept_bytes();
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if waiting.saturating_add(bytes) > WAITING_BYTES {
            false
        } else {
            match self.messages.try_send(Message::Line(Arc::clone(entry))) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            }
        };
        if !sent {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines lost so far.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was given so far is written, or a second.
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.messages.try_send(Message::Flush(done)).is_ok() {
            // Late or never: the process ends all the same.
            let _ = wait.recv_timeout(LAST);
        }
    }
}

struct Writer {
    name: &'static str,
    file: LogFile,
    shared: Arc<Shared>,
    /// Formatted and not written yet.
    lines: Vec<u8>,
    /// Number of them.
    count: u64,
    failed: bool,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(entry) => self.take(&entry),
                    Message::Flush(done) => {
                        self.write();
                        // Who waited too long is gone.
                        let _ = done.try_send(());
                    }
                }
                next = messages.try_recv().ok();
            }
            self.write();
        }
    }

    fn take(&mut self, entry: &Entry) {
        let before = self.lines.len();
        let formatted = entry.append(&mut self.lines, self.name == "payload");
        self.shared.waiting_bytes.fetch_sub(entry.kept_bytes(), Ordering::Relaxed);
        if let Err(error) = formatted {
            self.lines.truncate(before);
            self.lost(1, &error);
            return;
        }
        let most = usize::try_from(self.file.max_bytes()).unwrap_or(usize::MAX);
        if self.lines.len() - before > most {
            self.lines.truncate(before);
            self.lost(1, &format!("a line is longer than a file may be, {most} bytes"));
            return;
        }
        if self.lines.len() > most.min(TOGETHER) && before > 0 {
            let last = self.lines.split_off(before);
            self.write();
            self.lines = last;
        }
        self.count += 1;
    }

    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        match self.file.write(&self.lines) {
            Ok(()) => self.failed = false,
            Err(error) => self.lost(self.count, &error),
        }
        self.lines.clear();
        self.lines.shrink_to(2 * TOGETHER);
        self.count = 0;
    }

    /// Counts lines that are not written, and says why: once, until it works again.
    fn lost(&mut self, count: u64, reason: &dyn std::fmt::Display) {
        self.shared.dropped.fetch_add(count, Ordering::Relaxed);
        if !std::mem::replace(&mut self.failed, true) {
            tracing::error!(log = self.name, %reason, "lines of the log are lost");
        }
    }
}
