//! What tests of the real machine need of the world: a directory and an address of their own.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of the real machine touch the real world"
)]
#![allow(dead_code, reason = "each test binary uses its part of this")]

use mooseng_core::env::Address;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A fresh directory that goes when this does.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn fresh() -> Self {
        Self::beneath(&std::env::temp_dir())
    }

    pub(crate) fn beneath(above: &Path) -> Self {
        let name = format!("mooseng-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = above.join(name);
        std::fs::create_dir(&path).expect("the directory for temporary files takes one more");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An address of loopback that nobody else is given: a host of its own instead of a free port,
/// which somebody could take in between.
pub(crate) fn address() -> Address {
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let [a, b] = [process % 250 + 1, process / 250 % 250];
    assert!(count < 250, "one host of loopback for each case of a test binary");
    Address::new(format!("127.{a}.{b}.{}:9419", count + 1))
}

/// The status and the text of a page of a server's HTTP door.
pub(crate) fn get(address: &str, page: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {page} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it is sent");
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("it answers");
    let (head, text) = told.split_once("\r\n\r\n").expect("a head and a text");
    (head.split(' ').nth(1).unwrap_or_default().to_owned(), text.to_owned())
}
