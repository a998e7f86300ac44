//! No network: nothing here has anything to say to anybody.

use super::disk::NoExtent;
use mooseng_core::env::{
    Accepted, Address, Conn, Frame, FrameReceiver, FrameSender, Listener, Net, NetError, Received,
};

pub(crate) struct NoNet;

/// Cannot exist.
pub(crate) enum Never {}

impl Net for NoNet {
    type Extent = NoExtent;
    type Conn = Never;
    type Listener = Never;

    async fn connect(&self, address: &Address) -> Result<Never, NetError> {
        Err(NetError::Unreachable { address: address.clone(), what: "there is no network".to_owned() })
    }

    async fn listen(&self, address: &Address) -> Result<Never, NetError> {
        Err(NetError::Listen { address: address.clone(), what: "there is no network".to_owned() })
    }
}

impl Listener for Never {
    type Conn = Never;

    async fn accept(&mut self) -> Result<Accepted<Never>, NetError> {
        match *self {}
    }

    fn address(&self) -> Address {
        match *self {}
    }
}

impl Conn for Never {
    type Extent = NoExtent;
    type Sender = Never;
    type Receiver = Never;

    fn split(self) -> (Never, Never) {
        match self {}
    }
}

impl FrameSender for Never {
    type Extent = NoExtent;

    async fn send(&mut self, _frame: Frame<NoExtent>) -> Result<(), NetError> {
        match *self {}
    }
}

impl FrameReceiver for Never {
    async fn recv(&mut self) -> Result<Option<Received>, NetError> {
        match *self {}
    }
}
