//! What an HTTP request asks for. Pure.

/// A longer head is rubbish.
pub(super) const HEAD_BYTES_MAX: usize = 8 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Page {
    Health,
    Ready,
    Metrics,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Page(Page),
    Unknown,
    /// Some other method than GET.
    NotReading,
    Rubbish,
}

/// What is asked by the bytes that have arrived; `None` while the head is not whole.
pub(super) fn asked(bytes: &[u8]) -> Option<Asked> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let line = bytes[..end].split(|byte| *byte == b'\r').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return Some(Asked::Rubbish) };
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else { return Some(Asked::Rubbish) };
    if !version.starts_with("HTTP/1.") {
        return Some(Asked::Rubbish);
    }
    if method != "GET" {
        return Some(Asked::NotReading);
    }
    Some(match target.split('?').next() {
        Some("/health") => Asked::Page(Page::Health),
        Some("/ready") => Asked::Page(Page::Ready),
        Some("/metrics") => Asked::Page(Page::Metrics),
        _ => Asked::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let whole = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(asked(&whole[..cut]), None, "{cut} bytes");
        }
        assert_eq!(asked(whole), Some(Asked::Page(Page::Ready)));
    }

    #[test]
    fn what_is_no_request_is_told() {
        for rubbish in
            [&b"\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / FTP/1\r\n\r\n", b"\xff /ready HTTP/1.1\r\n\r\n"]
        {
            assert_eq!(asked(rubbish), Some(Asked::Rubbish), "{rubbish:?}");
        }
    }
}
