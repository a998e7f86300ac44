//! What has to be free before anything is started: the data directory and the ports. What a cluster holds that
//! was just killed is given a moment, and then refused by one line.

#![allow(clippy::disallowed_types, reason = "whether a port is free is asked of the system itself")]

use super::super::failure::Failure;
use super::super::process::make_data;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

/// The processes of a killed cluster follow it within this.
const MOMENT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Makes the directory, and takes it for this process alone for as long as the file is open.
pub(super) fn directory(path: &Path) -> Result<File, Failure> {
    let shown = path.display();
    let refuse = |what: &str| Failure::Other(format!("data: {shown}: {what}"));
    make_data(path)?;
    let file =
        File::open(path).map_err(|error| refuse(&format!("{error}; name one that this user can read")))?;
    in_a_moment(|| match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            Err(refuse("another `mooseng up` runs on it; stop that one, or name another directory"))
        }
        Err(error) => Err(refuse(&format!("{error}; name a directory on a file system that can lock"))),
    })?;
    Ok(file)
}

/// A port, the key that chose it, and who is to have it.
pub(super) struct Port {
    pub(super) key: &'static str,
    pub(super) number: u64,
    pub(super) owner: String,
}

/// The first port that two are to have: the key that came later, and why it cannot be meant.
pub(super) fn shared<'p>(ports: impl IntoIterator<Item = &'p Port>) -> Option<(&'static str, String)> {
    let mut owners = BTreeMap::new();
    for Port { key, number, owner } in ports {
        if let Some(other) = owners.insert(number, owner) {
            return Some((key, format!("gives {owner} the port {number}, which is {other}'s")));
        }
    }
    None
}

/// Nobody else listens at any of them.
pub(super) fn free<'p>(ports: impl IntoIterator<Item = &'p Port>) -> Result<(), Failure> {
    for Port { key, number, owner } in ports {
        let port = u16::try_from(*number).expect("so many were refused");
        in_a_moment(|| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(|error| {
                let (what, remedy) = match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        ("is in use".to_owned(), format!("stop who uses it, or give another --{key}"))
                    }
                    _ => (format!("cannot be had: {error}"), format!("give another --{key}")),
                };
                Failure::Other(format!("{key}: port {number}, for {owner}, {what}; {remedy}"))
            })
        })?;
    }
    Ok(())
}

fn in_a_moment(mut attempt: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    for _ in 0..MOMENT.as_millis() / LOOK_EVERY.as_millis() {
        if attempt().is_ok() {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(key: &'static str, number: u64, owner: &str) -> Port {
        Port { key, number, owner: owner.to_owned() }
    }

    #[test]
    fn a_port_is_given_once() {
        let ports = [port("port", 1, "a"), port("port", 2, "b"), port("chunk-port", 2, "c")];
        assert_eq!(shared(&ports[..2]), None);
        assert_eq!(shared(&ports), Some(("chunk-port", "gives c the port 2, which is b's".to_owned())));
    }
}
