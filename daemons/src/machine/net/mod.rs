//! Frames over streams of bytes. Knows how frames are put on a stream and taken off it, and leaves
//! to [`Streams`] where streams come from: the kernel's TCP, or a simulated one in tests.

mod receiver;
mod sender;
mod stream;

pub use receiver::TcpReceiver;
pub use sender::TcpSender;
pub use stream::{Halves, Streams, Tcp};

use super::RealExtent;
use mooseng_core::env::{Accepted, Address, Conn, Listener, Net, NetError};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long to wait for somebody to close a file when the process has no descriptors left.
const DESCRIPTORS_WAIT: Duration = Duration::from_millis(100);

pub struct TcpNet<S> {
    streams: S,
}

impl<S: Streams> TcpNet<S> {
    pub fn new(streams: S) -> Self {
        Self { streams }
    }
}

/// Why nobody can listen at an address, and what to do.
pub(crate) fn why_not(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use; stop who uses it or name another".to_owned(),
        io::ErrorKind::AddrNotAvailable => "the host is another computer; name this one".to_owned(),
        io::ErrorKind::PermissionDenied => format!("{error}; name a port from 1024 on, or run as root"),
        _ => format!("{error}; name this computer and a port, like 127.0.0.1:9421"),
    }
}

impl<S: Streams> Net for TcpNet<S> {
    type Extent = RealExtent;
    type Conn = TcpConn<S>;
    type Listener = TcpListener<S>;

    async fn connect(&self, address: &Address) -> Result<TcpConn<S>, NetError> {
        match self.streams.connect(address.as_str()).await {
            Ok(halves) => Ok(TcpConn { halves }),
            Err(error) => Err(NetError::Unreachable { address: address.clone(), what: error.to_string() }),
        }
    }

    async fn listen(&self, address: &Address) -> Result<TcpListener<S>, NetError> {
        let refuse = |what: String| NetError::Listen { address: address.clone(), what };
        let bound = self.streams.bind(address.as_str()).await;
        let (listener, port) = bound.map_err(|error| refuse(why_not(&error)))?;
        let host = address.as_str().rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        Ok(TcpListener { listener, address: Address::new(format!("{host}:{port}")) })
    }
}

pub struct TcpListener<S: Streams> {
    listener: S::Listener,
    address: Address,
}

impl<S: Streams> Listener for TcpListener<S> {
    type Conn = TcpConn<S>;

    async fn accept(&mut self) -> Result<Accepted<TcpConn<S>>, NetError> {
        loop {
            match S::accept(&mut self.listener).await {
                Ok((halves, peer)) => {
                    let conn = TcpConn { halves };
                    return Ok(Accepted { conn, peer: Address::new(peer.to_string()) });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if is_want_of_descriptors(&error) => tokio::time::sleep(DESCRIPTORS_WAIT).await,
                Err(error) => {
                    return Err(NetError::Listen { address: self.address.clone(), what: error.to_string() });
                }
            }
        }
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

/// Did only the connection fail that was about to be accepted?
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn is_want_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

pub struct TcpConn<S: Streams> {
    halves: Halves<S>,
}

impl<S: Streams> Conn for TcpConn<S> {
    type Extent = RealExtent;
    type Sender = TcpSender<S>;
    type Receiver = TcpReceiver<S>;

    fn split(self) -> (TcpSender<S>, TcpReceiver<S>) {
        let (reader, writer) = self.halves;
        let end = End::default();
        (TcpSender::new(writer, end.clone()), TcpReceiver::new(reader, end))
    }
}

/// Why a connection is over, once it is: both halves look at it.
#[derive(Clone, Default)]
struct End(Arc<OnceLock<String>>);

impl End {
    /// The first reason stands.
    fn set(&self, what: &str) {
        let _ = self.0.set(what.to_owned());
    }

    fn check(&self) -> Result<(), NetError> {
        match self.0.get() {
            None => Ok(()),
            Some(what) => Err(NetError::Closed { what: what.clone() }),
        }
    }
}
