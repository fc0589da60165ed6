//! Content encodings: gzip and deflate, in requests and answers.
//!
//! `deflate` is zlib's form, as RFC 9110 says; a request without zlib's header is read as the bare form that some clients
//! send.

use std::io::{self, Read, Write};

use actix_web::{
    http::header::{self, AcceptEncoding, ContentEncoding, Encoding, HeaderMap},
    web::{self, Bytes},
};
use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};

use crate::error::ApiError;

/// Shorter answers are not compressed: they fit into a packet as they are.
const SHORTEST: usize = 1024;
/// Longer answers are not compressed by the thread that serves others.
const LONG: usize = 64 << 10;
/// Longer requests are not decompressed by it: what comes out may be a thousand times as long.
const LONG_COMPRESSED: usize = 1 << 10;

/// Decompresses a request's body, as its header `Content-Encoding` says, to at most `limit` bytes.
///
/// # Errors
/// [`ApiError::Encoding`] for another encoding, [`ApiError::BodyTooLarge`] and [`ApiError::BadRequest`] for a body that is
/// not what the header says.
pub(super) async fn decompressed(encoding: &str, body: Bytes, limit: usize) -> Result<Bytes, ApiError> {
    let decompress = match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => return Ok(body),
        "gzip" | "x-gzip" => gunzip,
        "deflate" => inflate,
        _ => return Err(ApiError::Encoding { encoding: encoding.to_owned() }),
    };
    let long = body.len() > LONG_COMPRESSED;
    off_the_web(long, move || decompress(&body, limit)).await?.map_err(|error| {
        if error.kind() == io::ErrorKind::FileTooLarge {
            return ApiError::BodyTooLarge { limit };
        }
        ApiError::BadRequest(format!("expected a request body in the encoding {encoding}, got: {error}"))
    })
}

fn gunzip(body: &[u8], limit: usize) -> io::Result<Bytes> {
    bounded(MultiGzDecoder::new(body), limit)
}

fn inflate(body: &[u8], limit: usize) -> io::Result<Bytes> {
    // RFC 1950: the method is 8, and both bytes together are a multiple of 31.
    let is_zlib = matches!(body, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31));
    if is_zlib { bounded(ZlibDecoder::new(body), limit) } else { bounded(DeflateDecoder::new(body), limit) }
}

/// Reads to the end. Memory grows with what comes out, not with what a header says.
fn bounded(reader: impl Read, limit: usize) -> io::Result<Bytes> {
    let mut out = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut out)?;
    if out.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(out.into()) }
}

/// The encoding that an answer of `length` bytes shall have; none for as it is.
pub(super) fn wanted(headers: &HeaderMap, length: usize) -> Option<ContentEncoding> {
    // Most requests say nothing; they cost one look.
    if length < SHORTEST || !headers.contains_key(header::ACCEPT_ENCODING) {
        return None;
    }
    let accepted = AcceptEncoding(header::from_comma_delimited(headers.get_all(header::ACCEPT_ENCODING)).ok()?);
    let offered = [Encoding::gzip(), Encoding::deflate(), Encoding::identity()];
    match accepted.negotiate(offered.iter())? {
        Encoding::Known(encoding @ (ContentEncoding::Gzip | ContentEncoding::Deflate)) => Some(encoding),
        Encoding::Known(_) | Encoding::Unknown(_) => None,
    }
}

/// Compresses an answer.
///
/// # Errors
/// [`ApiError`] when the thread that does it is gone.
pub(super) async fn compressed(encoding: ContentEncoding, body: Vec<u8>) -> Result<Vec<u8>, ApiError> {
    let long = body.len() > LONG;
    let compress = move || {
        let out = Vec::with_capacity(body.len() / 2);
        if encoding == ContentEncoding::Gzip {
            let mut encoder = GzEncoder::new(out, Compression::fast());
            encoder.write_all(&body).and_then(|()| encoder.finish())
        } else {
            let mut encoder = ZlibEncoder::new(out, Compression::fast());
            encoder.write_all(&body).and_then(|()| encoder.finish())
        }
    };
    off_the_web(long, compress).await?.map_err(|error| ApiError::from(engine::Error::Internal(error.to_string())))
}

/// Runs short work here and long work on a thread for it.
async fn off_the_web<T: Send + 'static>(long: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    if !long {
        return Ok(work());
    }
    web::block(work).await.map_err(|error| ApiError::from(engine::Error::Internal(error.to_string())))
}
