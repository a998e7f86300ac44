//! The HTTP door of a role: `/health`, `/ready` and `/metrics`, for whoever watches over it. One request
//! a connection; it knows what pages there are, and leaves to the [`Role`] what they say.

mod metrics;
mod request;

pub use metrics::Metrics;

use futures::future::BoxFuture;
use mooseng_core::env::Address;
use request::{Asked, HEAD_BYTES_MAX, Page, asked};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections served at once; more wait at the door.
const CONNECTIONS_MAX: usize = 32;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for somebody to close a file when the process has no descriptors left.
const DESCRIPTORS_WAIT: Duration = Duration::from_millis(100);

/// What a role says of itself.
pub trait Role: Send + Sync + 'static {
    /// Can it do its work now? If not, why not.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Numbers, as Prometheus reads them.
    fn metrics(&self) -> BoxFuture<'_, String>;
}

pub async fn listen(address: &Address) -> io::Result<TcpListener> {
    TcpListener::bind(address.as_str()).await
}

/// Answers for as long as it is polled.
pub async fn serve(listener: TcpListener, role: Arc<dyn Role>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(DESCRIPTORS_WAIT).await;
            continue;
        };
        let role = role.clone();
        tokio::spawn(async move {
            // Who is too slow, or goes away, gets nothing.
            let _ = timeout(PATIENCE, answer(stream, &*role)).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, role: &dyn Role) -> io::Result<()> {
    let mut head = Vec::new();
    let asked = loop {
        if let Some(asked) = asked(&head) {
            break asked;
        }
        if head.len() >= HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            break Asked::Rubbish;
        }
    };
    let (status, text) = match asked {
        Asked::Page(Page::Health) => ("200 OK", "it runs\n".to_owned()),
        Asked::Page(Page::Ready) => match role.ready().await {
            Ok(()) => ("200 OK", "it serves\n".to_owned()),
            Err(why) => ("503 Service Unavailable", format!("{why}\n")),
        },
        Asked::Page(Page::Metrics) => ("200 OK", role.metrics().await),
        Asked::Unknown => ("404 Not Found", "ask for /health, /ready or /metrics\n".to_owned()),
        Asked::NotReading => ("405 Method Not Allowed", "everything here is read with GET\n".to_owned()),
        Asked::Rubbish => ("400 Bad Request", "this is no HTTP request\n".to_owned()),
    };
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Waiting;

    impl Role for Waiting {
        fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { Err("no leader is known".to_owned()) })
        }

        fn metrics(&self) -> BoxFuture<'_, String> {
            Box::pin(async { "mooseng_things 3\n".to_owned() })
        }
    }

    async fn get(address: std::net::SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        told
    }

    #[test]
    fn pages_are_answered_and_rubbish_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = listen(&Address::new("127.0.0.1:0")).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(serve(listener, Arc::new(Waiting)));
            for (request, status, text) in [
                (&b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"[..], "200 OK", "it runs\n"),
                (b"GET /ready HTTP/1.1\r\n\r\n", "503 Service Unavailable", "no leader is known\n"),
                (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK", "mooseng_things 3\n"),
                (b"GET /etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found", "/metrics\n"),
                (b"POST /health HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "GET\n"),
                (b"\x16\x03\x01\x02\r\n\r\n", "400 Bad Request", "no HTTP request\n"),
            ] {
                let told = get(address, request).await;
                assert!(told.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{told}");
                assert!(told.ends_with(text), "{told}");
            }
            let endless = vec![b'x'; 2 * HEAD_BYTES_MAX];
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(&endless).await;
            let mut told = Vec::new();
            let _ = stream.read_to_end(&mut told).await;
            assert!(told.is_empty() || told.starts_with(b"HTTP/1.1 400"), "{told:?}");
        });
    }
}
