//! Whether a server that listens at one address is found at another, where its group looks for it. Pure; it knows
//! no network, and so nothing of what may lead from one computer to another.

use core::net::{IpAddr, Ipv4Addr};
use mooseng_core::env::Address;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    There,
    /// If something leads there, as address translation does.
    Perhaps,
    /// It is another port of the same host, or both are of one computer alone.
    Never,
}

/// Who `listens` there, is it found where others were `told`?
pub fn found(listens: &Address, told: &Address) -> Found {
    let (Some((own_host, own_port)), Some((host, port))) = (parts(listens), parts(told)) else {
        return if listens == told { Found::There } else { Found::Perhaps };
    };
    match (own_host == host, own_port == port) {
        (true, true) => Found::There,
        (true, false) => Found::Never,
        (false, true) if is_everywhere(listens) => Found::There,
        (false, _) if is_loopback(own_host) && is_loopback(host) => Found::Never,
        (false, _) => Found::Perhaps,
    }
}

/// Does it listen at all addresses of its computer? Then nobody can be told to look for it there.
pub(super) fn is_everywhere(listens: &Address) -> bool {
    let host = parts(listens).and_then(|(host, _)| host.parse::<IpAddr>().ok());
    host.is_some_and(|host| host.is_unspecified())
}

/// What leads from one computer to another leads to none of these.
fn is_loopback(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok_and(|host| host.is_loopback())
}

fn parts(address: &Address) -> Option<(&str, &str)> {
    let (host, port) = address.as_str().rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((if host == "localhost" { "127.0.0.1" } else { host }, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_of_the_same_host_and_another_loopback_are_never_found() {
        let cases = [
            ("10.0.0.1:9421", "10.0.0.1:9421", Found::There),
            ("localhost:9421", "127.0.0.1:9421", Found::There),
            ("[::1]:9421", "[::1]:9421", Found::There),
            ("0.0.0.0:9421", "10.0.0.1:9421", Found::There),
            ("[::]:9421", "meta-1:9421", Found::There),
            ("10.0.0.1:9421", "10.0.0.1:9422", Found::Never),
            ("meta-1:9421", "meta-1:9422", Found::Never),
            ("0.0.0.0:9000", "10.0.0.1:9421", Found::Perhaps),
            ("127.0.0.1:9421", "10.0.0.1:9421", Found::Perhaps),
            ("127.0.0.2:9421", "127.0.0.1:9421", Found::Never),
            ("[::1]:9421", "localhost:9421", Found::Perhaps),
            ("172.17.0.2:9421", "meta-1:9421", Found::Perhaps),
            ("s1", "s1", Found::There),
            ("s1", "s2", Found::Perhaps),
        ];
        for (listens, told, wanted) in cases {
            assert_eq!(found(&Address::new(listens), &Address::new(told)), wanted, "{listens} as {told}");
        }
        assert!(is_everywhere(&Address::new("[::]:1")) && !is_everywhere(&Address::new("s1:1")));
    }
}
