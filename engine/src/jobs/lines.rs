//! Lines of a child's output, with a limit on how long one may be.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Longest line that is kept, in bytes: an event with the loss curve of a hundred thousand epochs fits.
const LONGEST: usize = 16 << 20;

/// Reads line by line. A line that is too long is left out.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    skipping: bool,
    longest: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new(), skipping: false, longest: LONGEST }
    }

    /// The next line without its end; none at the end of the output. Nothing is lost if the call is dropped.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let buffered = self.reader.fill_buf().await?;
            if buffered.is_empty() {
                let last = std::mem::take(&mut self.line);
                return Ok(Some(last).filter(|last| !last.is_empty()));
            }
            let end = buffered.iter().position(|byte| *byte == b'\n');
            let part = &buffered[..end.unwrap_or(buffered.len())];
            if self.line.len() + part.len() > self.longest {
                self.skipping = true;
                self.line = Vec::new();
            }
            if !self.skipping {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() && !std::mem::take(&mut self.skipping) {
                return Ok(Some(std::mem::take(&mut self.line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn leaves_out_lines_that_are_too_long() {
        let text: &[u8] = b"one\n\n123456789\ntwelve\r\n123456789 123456789\n\xff\nlast";
        for capacity in [1, 3, 100] {
            let reader = BufReader::with_capacity(capacity, text);
            let mut lines = Lines { reader, line: Vec::new(), skipping: false, longest: 8 };
            let mut got = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                got.push(line);
            }
            let expected: [&[u8]; 5] = [b"one", b"", b"twelve\r", b"\xff", b"last"];
            assert_eq!(got, expected, "buffer of {capacity} bytes");
        }
    }
}
