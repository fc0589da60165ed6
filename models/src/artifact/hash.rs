//! SHA-256 of bytes and of files, in lowercase hexadecimal.

use std::{io::Read, path::Path};

use sha2::{Digest, Sha256};

/// Bytes hashed at a time: large enough to hide the calls, small enough for the second-level cache.
const CHUNK: usize = 256 * 1024;

/// SHA-256 of `bytes` in lowercase hexadecimal.
#[must_use]
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SHA-256 of a file in lowercase hexadecimal, and its size in bytes. Memory use does not grow with the file.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_file(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = fs_err::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((hex::encode(hasher.finalize()), size));
        }
        hasher.update(&chunk[..read]);
        size += read as u64;
    }
}
