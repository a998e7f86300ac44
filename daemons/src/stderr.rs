//! Lines for whoever started the process, on standard error. Whoever reads them may have gone, as in
//! `mooseng up 2>&1 | head`: then they are lost, and nothing else is.

use std::fmt::Display;
use std::io::Write;

pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "mooseng: {line}");
}
