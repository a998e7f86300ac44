//! What the runner prints. A reader that has seen enough, as `head`, closes its end of the pipe, and
//! that ends the runner in silence instead of with a panic.

use std::fmt::Arguments;
use std::io::{Write, stderr, stdout};

/// What a shell reports of a program that ended because nobody reads it any more.
const UNREAD: i32 = 128 + 13;

/// What was asked for, to where it was asked for.
pub fn say(text: Arguments<'_>) {
    if stdout().lock().write_fmt(text).is_err() {
        std::process::exit(UNREAD);
    }
}

/// How it is going, for whoever looks on: if nobody does, the work goes on all the same.
pub fn remark(text: Arguments<'_>) {
    let mut stderr = stderr().lock();
    let _ = stderr.write_fmt(text).and_then(|()| stderr.flush());
}

/// A line of what was asked for.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::output::say(format_args!("{}\n", format_args!($($text)*))) };
}

/// A line for whoever looks on.
#[macro_export]
macro_rules! remark {
    ($($text:tt)*) => { $crate::output::remark(format_args!("{}\n", format_args!($($text)*))) };
}
