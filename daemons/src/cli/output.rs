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

/// What a stranger says of itself, so that it stays within its line and changes nothing else there.
pub(super) fn shown(text: &str) -> String {
    let shown = |letter: char| {
        if letter.is_control() { letter.escape_default().collect() } else { letter.to_string() }
    };
    text.chars().map(shown).collect()
}

/// So many of them, in words that fit one as well.
pub(super) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Prints a line for what runs on, heard or not.
pub(super) fn mention(line: impl Display) {
    let _ = say(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_stays_in_its_line() {
        assert_eq!(
            shown("a\n127.0.0.1:1  chunk server 9\x1b[2J"),
            "a\\n127.0.0.1:1  chunk server 9\\u{1b}[2J"
        );
        assert_eq!(shown("Raum é"), "Raum é");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([count(0, "part"), count(1, "part"), count(2, "part")], ["0 parts", "1 part", "2 parts"]);
    }
}
