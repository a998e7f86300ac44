//! Where streams of bytes come from.

use crate::machine::RealExtent;
use mooseng_core::env::Extent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::Shutdown;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// How much of an extent is in memory at once where it has to be copied.
const COPY_BYTES: usize = 256 << 10;

/// The two directions of a stream.
pub type Halves<S> = (<S as Streams>::Reader, <S as Streams>::Writer);

/// A kind of byte stream that frames can travel over.
pub trait Streams: Sized + Send + Sync + 'static {
    type Listener: Send + 'static;
    type Reader: AsyncRead + Unpin + Send + 'static;
    /// Dropping it ends its direction in good order.
    type Writer: AsyncWrite + Unpin + Send + 'static;

    fn connect(&self, address: &str) -> impl Future<Output = io::Result<Halves<Self>>> + Send;

    /// A listener, and the port that it has.
    fn bind(&self, address: &str) -> impl Future<Output = io::Result<(Self::Listener, u16)>> + Send;

    /// Cancel-safe.
    fn accept(
        listener: &mut Self::Listener,
    ) -> impl Future<Output = io::Result<(Halves<Self>, SocketAddr)>> + Send;

    /// Sends a range of a file, here by copying it.
    fn send_extent(
        writer: &mut Self::Writer,
        extent: &RealExtent,
    ) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            let mut sent = 0;
            while sent < extent.len() {
                let piece = extent.read(sent, COPY_BYTES).await.map_err(io::Error::other)?;
                if piece.is_empty() {
                    return Err(shrunk());
                }
                writer.write_all(&piece).await?;
                sent += piece.len() as u64;
            }
            Ok(())
        }
    }

    /// Ends both directions at once, where the kind of stream can do that.
    fn cut_writer(writer: &Self::Writer) {
        let _ = writer;
    }

    /// As [`Self::cut_writer`].
    fn cut_reader(reader: &Self::Reader) {
        let _ = reader;
    }
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends within its extent")
}

/// The kernel's TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Streams for Tcp {
    type Listener = TcpListener;
    type Reader = OwnedReadHalf;
    type Writer = TcpWriter;

    async fn connect(&self, address: &str) -> io::Result<Halves<Self>> {
        let stream = TcpStream::connect(address).await?;
        // A port to connect from is drawn from the range that ports to listen at may lie in, and
        // TCP lets a socket connect to itself.
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        halves_of(stream)
    }

    async fn bind(&self, address: &str) -> io::Result<(TcpListener, u16)> {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<(Halves<Self>, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        Ok((halves_of(stream)?, peer))
    }

    async fn send_extent(writer: &mut TcpWriter, extent: &RealExtent) -> io::Result<()> {
        let socket = writer.socket()?;
        let mut sent = 0;
        while sent < extent.len() {
            writable(writer.half.as_ref()).await?;
            match extent.send_to(socket.clone(), sent).await {
                Ok(0) => return Err(shrunk()),
                Ok(count) => sent += count as u64,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn cut_writer(writer: &TcpWriter) {
        cut(writer.half.as_ref());
    }

    fn cut_reader(reader: &OwnedReadHalf) {
        cut(reader.as_ref());
    }
}

fn halves_of(stream: TcpStream) -> io::Result<Halves<Tcp>> {
    stream.set_nodelay(true)?;
    let (reader, half) = stream.into_split();
    Ok((reader, TcpWriter { half, socket: None }))
}

fn cut(stream: &TcpStream) {
    // It fails if the connection is over already, which is what is wanted.
    let _ = rustix::net::shutdown(stream, Shutdown::Both);
}

/// Waits until the socket takes bytes. Asks the kernel rather than what tokio remembers, because
/// `sendfile` fills the socket behind tokio's back.
async fn writable(stream: &TcpStream) -> io::Result<()> {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    stream
        .async_io(Interest::WRITABLE, || {
            let ready = poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&at_once))?;
            if ready == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        })
        .await
}

/// The sending half of a TCP stream.
pub struct TcpWriter {
    half: OwnedWriteHalf,
    /// The same socket once more, for the threads that run `sendfile`; made by the first extent.
    socket: Option<Arc<OwnedFd>>,
}

impl TcpWriter {
    fn socket(&mut self) -> io::Result<Arc<OwnedFd>> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let stream: &TcpStream = self.half.as_ref();
        let socket = Arc::new(stream.as_fd().try_clone_to_owned()?);
        self.socket = Some(socket.clone());
        Ok(socket)
    }
}

impl AsyncWrite for TcpWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.half).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.half).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.half.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_shutdown(cx)
    }
}
