//! Messages that are encoded once and sent many times.

use std::marker::PhantomData;

use prost::{
    Message,
    bytes::{Buf as _, BufMut as _, Bytes},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// A message as it goes over the wire. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes a message.
    #[must_use]
    pub fn new(message: &impl Message) -> Self {
        Self(message.encode_to_vec().into())
    }

    /// The message it is; none where it is none of that kind.
    #[must_use]
    pub fn decode<M: Message + Default>(&self) -> Option<M> {
        M::decode(self.0.clone()).ok()
    }
}

/// What a server needs to answer questions with what is encoded already.
#[derive(Clone, Copy, Debug)]
pub struct Answers<Q>(PhantomData<Q>);

/// What a client needs that passes answers on as they are.
#[derive(Clone, Copy, Debug)]
pub struct Questions<Q>(PhantomData<Q>);

impl From<Bytes> for Encoded {
    /// What is a message's encoding already.
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl<Q> Default for Answers<Q> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q> Default for Questions<Q> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q: Message + Default + Send + 'static> Codec for Answers<Q> {
    type Encode = Encoded;
    type Decode = Q;
    type Encoder = Verbatim;
    type Decoder = Decoded<Q>;

    fn encoder(&mut self) -> Verbatim {
        Verbatim
    }

    fn decoder(&mut self) -> Decoded<Q> {
        Decoded(PhantomData)
    }
}

impl<Q: Message + Send + 'static> Codec for Questions<Q> {
    type Encode = Q;
    type Decode = Encoded;
    type Encoder = Asked<Q>;
    type Decoder = Verbatim;

    fn encoder(&mut self) -> Asked<Q> {
        Asked(PhantomData)
    }

    fn decoder(&mut self) -> Verbatim {
        Verbatim
    }
}

/// Takes and gives what is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Verbatim;

impl Encoder for Verbatim {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, item: Encoded, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item.0);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = Encoded;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Encoded>, Status> {
        Ok(Some(Encoded(buffer.copy_to_bytes(buffer.remaining()))))
    }
}

/// Gives messages.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<M>(PhantomData<M>);

impl<M: Message + Default> Decoder for Decoded<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        // As tonic's own codec says it.
        M::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Takes messages.
#[derive(Clone, Copy, Debug)]
pub struct Asked<M>(PhantomData<M>);

impl<M: Message> Encoder for Asked<M> {
    type Item = M;
    type Error = Status;

    fn encode(&mut self, item: M, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}
