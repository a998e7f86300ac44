//! Who takes part in a run.

use std::fmt;
use std::str::FromStr;

/// A node, as plans, oracles and traces name it. Numbers begin with 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Member {
    /// A metadata server.
    Server(u32),
    /// A chunk server.
    Chunk(u32),
    Client(u32),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Member::Server(number) => write!(f, "meta-{number}"),
            Member::Chunk(number) => write!(f, "chunk-{number}"),
            Member::Client(number) => write!(f, "client-{number}"),
        }
    }
}

impl FromStr for Member {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (kind, number) = name.split_once('-').unwrap_or((name, ""));
        let number: Option<u32> = number.parse().ok().filter(|number| *number > 0);
        match (kind, number) {
            ("meta", Some(number)) => Ok(Member::Server(number)),
            ("chunk", Some(number)) => Ok(Member::Chunk(number)),
            ("client", Some(number)) => Ok(Member::Client(number)),
            _ => {
                Err(format!("there is no node `{name}`: nodes are `meta-1`, `chunk-3`, `client-2` and so on"))
            }
        }
    }
}
