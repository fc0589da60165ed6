//! The project's own form of an ensemble, for the artifact of a version: what an import cost is paid once.
//!
//! Eight bytes of [`MAGIC`], the [`FORM`] as a little-endian u32, then the [`Ensemble`] in postcard's encoding
//! (<https://postcard.jamesmunns.com/wire-format>): fields in their order, lengths and enum variants as varints,
//! numbers as their bits. So whatever is written reads back to the bit, and the form follows from the types: [`FORM`]
//! counts up with every change to one of them, and a file of another form is refused instead of misread.

use super::Ensemble;
use crate::{Error, Result};

/// What every saved ensemble begins with.
const MAGIC: [u8; 8] = *b"EMBtrees";

/// The form that is written, and the one that is read.
const FORM: u32 = 1;

impl Ensemble {
    /// The ensemble in the project's own form, which [`Ensemble::from_bytes`] reads.
    ///
    /// # Errors
    /// [`Error::Content`] when the encoder refuses the ensemble; none of what the types can hold makes it.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORM.to_le_bytes());
        postcard::to_extend(self, bytes).map_err(|error| Error::content("an ensemble that can be encoded", error))
    }

    /// Reads an ensemble in the project's own form.
    ///
    /// Takes memory in proportion to the bytes that are there (at most some two hundred times as much), whatever lengths
    /// they declare.
    ///
    /// # Errors
    /// [`Error::Content`] when the bytes are no saved ensemble, end early or late, or do not pass [`Ensemble::check`];
    /// [`Error::Unsupported`] when they are of another form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Some(rest) = bytes.strip_prefix(&MAGIC) else {
            let start = bytes.get(..MAGIC.len()).unwrap_or(bytes);
            return Err(Error::content(
                "a saved ensemble, which begins with `EMBtrees`",
                format!("`{}`", start.escape_ascii()),
            ));
        };
        let Some((form, payload)) = rest.split_first_chunk() else {
            return Err(Error::content("4 bytes of a saved ensemble's form", format!("{} bytes", rest.len())));
        };
        let form = u32::from_le_bytes(*form);
        if form != FORM {
            return Err(Error::unsupported(
                format!("form {form} of a saved ensemble (this is form {FORM})"),
                "import the model anew from its source",
            ));
        }
        let (ensemble, behind) = postcard::take_from_bytes::<Self>(payload)
            .map_err(|error| Error::content(format!("an ensemble in {} bytes", payload.len()), error))?;
        if !behind.is_empty() {
            return Err(Error::content(
                "the end of the file behind the ensemble",
                format!("{} more bytes", behind.len()),
            ));
        }
        ensemble.check()?;
        Ok(ensemble)
    }
}
