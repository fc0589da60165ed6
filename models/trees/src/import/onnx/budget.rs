//! A bound on what a file can make a reader do.

use std::cell::Cell;

use crate::{Error, Result};

/// Steps of work (values copied, nodes made) that a file's size allows. Honest files stay far below; what grows faster than
/// its file (a table concatenated with itself again and again, subtrees that share subtrees) ends here.
#[derive(Debug)]
pub(super) struct Budget {
    all: usize,
    left: Cell<usize>,
}

impl Budget {
    /// For a file of this many bytes.
    pub(super) fn for_file(bytes: usize) -> Self {
        let all = bytes.saturating_mul(16).saturating_add(1 << 18);
        Self { all, left: Cell::new(all) }
    }

    /// Takes so many steps before they are done.
    pub(super) fn spend(&self, steps: usize) -> Result<()> {
        match self.left.get().checked_sub(steps) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(Error::content(
                format!("a graph that is read in {} steps, as the size of its file allows", self.all),
                "one that takes more",
            )),
        }
    }
}
