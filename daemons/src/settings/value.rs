//! Values as people write them.

use mooseng_core::env::Address;
use mooseng_core::id::{ClusterId, ServerId};
use std::path::PathBuf;
use std::time::Duration;

/// What a setting's text can be read as.
pub trait FromText: Sized {
    /// How to write one, for the remedy.
    const FORM: &'static str;

    /// On failure, why not, as the end of a sentence about the text.
    fn from_text(text: &str) -> Result<Self, String>;
}

impl FromText for String {
    const FORM: &'static str = "some text";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

impl FromText for PathBuf {
    const FORM: &'static str = "the path of a directory";

    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text).map(PathBuf::from)
    }
}

impl FromText for u64 {
    const FORM: &'static str = "a whole number, like 3";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "is no whole number".to_owned())
    }
}

impl FromText for bool {
    const FORM: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "is neither true nor false".to_owned())
    }
}

impl FromText for ClusterId {
    const FORM: &'static str = "the cluster's number, 1 or more";

    fn from_text(text: &str) -> Result<Self, String> {
        match u64::from_text(text)? {
            0 => Err("is no cluster's number".to_owned()),
            number => Ok(ClusterId(number)),
        }
    }
}

impl FromText for ServerId {
    const FORM: &'static str = "the server's number, 1 or more";

    fn from_text(text: &str) -> Result<Self, String> {
        match u64::from_text(text)? {
            0 => Err("is nobody's number".to_owned()),
            number => Ok(ServerId(number)),
        }
    }
}

impl FromText for Address {
    const FORM: &'static str = "HOST:PORT, like 10.0.0.1:9421";

    fn from_text(text: &str) -> Result<Self, String> {
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err("has no port".to_owned());
        };
        if host.is_empty() {
            return Err("has no host".to_owned());
        }
        match port.parse::<u16>() {
            Ok(0) => Err("has port 0, where nobody is found".to_owned()),
            Ok(_) => Ok(Address::new(text)),
            Err(_) => Err("has a port that is none".to_owned()),
        }
    }
}

impl FromText for Duration {
    const FORM: &'static str = "a time in ms, s, m, h or d, like 250ms, 10s or 5m";

    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err("has no unit".to_owned()),
            other => return Err(format!("has the unit `{other}`, which is no time")),
        };
        let millis = number.checked_mul(millis).ok_or("is longer than any time")?;
        Ok(Duration::from_millis(millis))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteSize(pub u64);

impl FromText for ByteSize {
    const FORM: &'static str = "a size, like 4096, 64KiB, 64MiB or 1GiB";

    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text)?;
        let shift = match unit {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            other => return Err(format!("has the unit `{other}`, which is no size")),
        };
        number.checked_mul(1 << shift).map(ByteSize).ok_or("is larger than anything".to_owned())
    }
}

fn split_unit(text: &str) -> Result<(u64, &str), String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.parse().map_err(|_| "does not begin with a whole number".to_owned())?;
    Ok((number, unit.trim()))
}

/// Several of them, in the order given, separated by commas; at least one.
impl<T: FromText> FromText for Vec<T> {
    const FORM: &'static str = T::FORM;

    fn from_text(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(|item| T::from_text(item.trim()));
        items.collect::<Result<_, _>>().map_err(|why| format!("{why} somewhere in the list"))
    }
}

/// A server and where it listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    pub server: ServerId,
    pub address: Address,
}

impl FromText for Peer {
    const FORM: &'static str = "NUMBER=HOST:PORT for each, like 1=10.0.0.1:9421,2=10.0.0.2:9421";

    fn from_text(text: &str) -> Result<Self, String> {
        let Some((server, address)) = text.split_once('=') else {
            return Err("has no `=`".to_owned());
        };
        Ok(Self { server: ServerId::from_text(server.trim())?, address: Address::from_text(address.trim())? })
    }
}
