//! How messages become bytes and back: generated messages by prost, inference requests by their own reader.

use std::{fmt, marker::PhantomData};

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::request::{InferMessage, malformed};
use crate::ApiError;

/// Something that a client sends.
pub(crate) trait Incoming: Send + Sized + 'static {
    /// Reads the whole of a message.
    fn read(message: Bytes) -> Result<Self, ApiError>;
}

impl<M: Message + Default + 'static> Incoming for M {
    fn read(message: Bytes) -> Result<Self, ApiError> {
        M::decode(message).map_err(|error| malformed(&error))
    }
}

/// An inference request as it came. It is read by who answers it, so that one that cannot be read does not end a stream.
#[derive(Clone, Debug)]
pub(crate) struct UnreadInfer(Bytes);

impl UnreadInfer {
    /// Reads the request.
    ///
    /// # Errors
    /// As [`InferMessage::decode`].
    pub(super) fn read(&self) -> Result<InferMessage, ApiError> {
        InferMessage::decode(&self.0)
    }

    /// Its bytes.
    pub(super) const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The client's own name for the request, as far as that can be read: for the answer to a request that cannot be.
    pub(super) fn id(&self) -> String {
        InferMessage::id_of(&self.0)
    }
}

impl Incoming for UnreadInfer {
    fn read(message: Bytes) -> Result<Self, ApiError> {
        Ok(Self(message))
    }
}

/// The codec of all calls: writes `E` and reads `D`.
pub(crate) struct MessageCodec<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for MessageCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Clone for MessageCodec<E, D> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<E, D> fmt::Debug for MessageCodec<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageCodec")
    }
}

impl<E: Message + 'static, D: Incoming> Codec for MessageCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<E: Message, D> Encoder for MessageCodec<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // In one step: an answer may be many times larger than the buffer is at first.
        buffer.reserve(message.encoded_len());
        message.encode(buffer).map_err(|error| ApiError::from(engine::Error::Internal(error.to_string())).into())
    }
}

impl<E, D: Incoming> Decoder for MessageCodec<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // No copy: the message is cut off from the connection's buffer.
        let message = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(D::read(message)?))
    }
}
