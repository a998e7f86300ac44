//! What verbs print. Whoever reads it may have seen enough, as in `mooseng ns ls / | head -1`: then the verb
//! ends without a word.

use super::failure::Failure;
use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line.
pub(super) fn say(line: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{line}").map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unheard,
        _ => Failure::Other(format!("standard output: {error}")),
    })
}

/// The same for what runs on, heard or not.
pub(super) fn mention(line: impl Display) {
    let _ = say(line);
}
