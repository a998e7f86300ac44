//! Connections as they come in, so many at a time; more wait at the door.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::codegen::BoxFuture;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::server::Connected;

const CONNECTIONS_MAX: usize = 64;
/// How long to wait for somebody to close a file when the process has no descriptors left.
const DESCRIPTORS_WAIT: Duration = Duration::from_millis(100);

pub(super) struct Connections {
    listener: Arc<TcpListener>,
    places: Arc<Semaphore>,
    next: BoxFuture<Connection, io::Error>,
}

impl Connections {
    pub(super) fn new(listener: TcpListener) -> Self {
        let (listener, places) = (Arc::new(listener), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        Self { next: Box::pin(accept(listener.clone(), places.clone())), listener, places }
    }
}

async fn accept(listener: Arc<TcpListener>, places: Arc<Semaphore>) -> io::Result<Connection> {
    let place = places.acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(Connection { stream, _place: place }),
            Err(_) => tokio::time::sleep(DESCRIPTORS_WAIT).await,
        }
    }
}

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = ready!(self.next.as_mut().poll(context));
        self.next = Box::pin(accept(self.listener.clone(), self.places.clone()));
        Poll::Ready(Some(accepted))
    }
}

/// A stream that holds its place as long as it is there.
pub(super) struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
