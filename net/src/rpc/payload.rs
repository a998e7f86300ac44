//! A message on its way out, encoded once, with room before it for the head that is known only
//! when the frame leaves.

use super::head::{HEAD_BYTES, Head};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload(BytesMut);

impl Payload {
    pub fn of<M: Message>(message: &M) -> Self {
        let mut bytes = Self::room(message.encoded_len());
        // Encoding fails only for want of room, and a BytesMut grows.
        message.encode_raw(&mut bytes);
        Self(bytes)
    }

    pub fn from_bytes(message: &[u8]) -> Self {
        let mut bytes = Self::room(message.len());
        bytes.put_slice(message);
        Self(bytes)
    }

    pub fn empty() -> Self {
        Self(Self::room(0))
    }

    /// Bytes of the frame's head that it becomes.
    pub fn head_bytes(&self) -> usize {
        self.0.len()
    }

    pub fn message(&self) -> &[u8] {
        &self.0[HEAD_BYTES..]
    }

    pub fn into_head(mut self, head: &Head) -> Bytes {
        self.0[..HEAD_BYTES].copy_from_slice(&head.encode());
        self.0.freeze()
    }

    fn room(message_bytes: usize) -> BytesMut {
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + message_bytes);
        bytes.put_bytes(0, HEAD_BYTES);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::rpc::Hello;
    use crate::rpc::head::Kind;

    #[test]
    fn the_head_goes_before_the_message() {
        let hello = Hello { version_oldest: 1, version_newest: 2, build: "b".into(), ..Hello::default() };
        let payload = Payload::of(&hello);
        assert_eq!(payload, Payload::from_bytes(&hello.encode_to_vec()));
        let head = Head::about(Kind::Answer, 7);
        let bytes = payload.into_head(&head);
        assert_eq!(Head::decode(&bytes), Ok(head));
        assert_eq!(Hello::decode(bytes.slice(HEAD_BYTES..)), Ok(hello));
    }
}
