//! Bytes as people compare them.

use std::fmt::Write;

/// Sixteen bytes a line behind their offset; runs of zero lines as one `*`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut skipping = false;
    for (number, line) in bytes.chunks(16).enumerate() {
        let last = (number + 1) * 16 >= bytes.len();
        if line.iter().all(|byte| *byte == 0) && number > 0 && !last {
            if !skipping {
                text.push_str("*\n");
            }
            skipping = true;
            continue;
        }
        skipping = false;
        write!(text, "{:04x} ", number * 16).unwrap();
        for (at, byte) in line.iter().enumerate() {
            let gap = if at % 8 == 0 { " " } else { "" };
            write!(text, "{gap}{byte:02x} ").unwrap();
        }
        let printable = |byte: &u8| if byte.is_ascii_graphic() { *byte as char } else { '.' };
        let shown: String = line.iter().map(printable).collect();
        writeln!(text, "{:1$} |{shown}|", "", 50 - 3 * line.len() - line.len().div_ceil(8)).unwrap();
    }
    text
}
