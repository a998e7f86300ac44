//! What is typed. Each verb reads its settings, does its work and prints; a failure is one line on
//! standard error. Exit codes: 0 done, 1 not done, 2 not understood.

#![warn(clippy::print_stdout, reason = "a reader may go away: print with `output::say`")]
#![allow(
    clippy::disallowed_methods,
    reason = "a verb works in the real world: files, processes, the environment"
)]

mod chunk;
mod class;
mod client;
mod cluster;
mod failure;
mod file;
mod meta;
mod mount;
mod ns;
mod output;
mod process;
mod status;
mod up;

use crate::settings::{Section, Settings, SettingsError};
use crate::stderr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};
use failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// Every section that the configuration file may have.
const SECTIONS: [&Section; 5] =
    [&meta::SECTION, &chunk::SECTION, &mount::SECTION, &client::SECTION, &up::SECTION];

type Verb = (fn() -> Command, fn(&ArgMatches) -> Result<(), Failure>);

const VERBS: [Verb; 9] = [
    (up::command, up::run),
    (meta::format_command, meta::run_format),
    (meta::command, meta::run),
    (chunk::command, chunk::run),
    (mount::command, mount::run),
    (status::command, status::run),
    (ns::command, ns::run),
    (file::command, file::run),
    (class::command, class::run),
];

fn command() -> Command {
    Command::new("mooseng")
        .about("A distributed POSIX file system")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(VERBS.iter().map(|(command, _)| command()))
}

/// Carries out what the arguments say, the program's name first.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return explain(&error),
    };
    let (name, matches) = matches.subcommand().expect("clap asks for a verb");
    let verb = VERBS.iter().find(|(command, _)| command().get_name() == name);
    let (_, run) = verb.expect("clap knows our verbs only");
    match run(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Unheard) => ExitCode::FAILURE,
        Err(failure) => {
            stderr::tell(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What was not understood, as one line; help, as it is.
fn explain(error: &clap::Error) -> ExitCode {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    match error.kind() {
        DisplayHelp | DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            stderr::tell(told_by_the_value(error).unwrap_or_else(|| one_line(&error.to_string())));
            ExitCode::from(2)
        }
    }
}

/// What a value says of itself, if it quotes itself: nobody need quote it again.
fn told_by_the_value(error: &clap::Error) -> Option<String> {
    let (Some(ContextValue::String(value)), Some(ContextValue::String(name))) =
        (error.get(ContextKind::InvalidValue), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    let why = std::error::Error::source(error)?.to_string();
    let name = name.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
    why.starts_with(&format!("`{value}`")).then(|| format!("{name}: {why}"))
}

/// Clap's message without its tips and its picture of the usage.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let advice = ["tip:", "Usage:", "For more information"];
    let told = lines.take_while(|line| !advice.iter().any(|advice| line.starts_with(advice)));
    let told = told.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    format!("{}; --help shows what there is", told.trim_start_matches("error: "))
}

/// The settings of a verb, from everywhere they may come from.
fn settings(section: &'static Section, matches: &ArgMatches) -> Result<Settings, SettingsError> {
    Settings::resolve(section, &SECTIONS, matches, |name| std::env::var(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_one_line() {
        for (arguments, wanted) in [
            (&["mooseng", "fly"][..], "unrecognized subcommand 'fly'; --help shows what there is"),
            (
                &["mooseng", "status", "--fast"],
                "unexpected argument '--fast' found; --help shows what there is",
            ),
            (
                &["mooseng", "ns", "mkdir"],
                "the following required arguments were not provided: <PATH>; --help shows what there is",
            ),
            (
                &["mooseng", "ns", "ls", "a"],
                "invalid value 'a' for '<PATH>': a path begins with `/`; --help shows what there is",
            ),
        ] {
            let error = command().try_get_matches_from(arguments).unwrap_err();
            assert_eq!(told_by_the_value(&error), None);
            assert_eq!(one_line(&error.to_string()), wanted);
        }
        let error = command().try_get_matches_from(["mooseng", "class", "set", "/", "two"]).unwrap_err();
        let line = told_by_the_value(&error).unwrap();
        assert!(line.starts_with("class: `two` is no storage class: write "), "{line}");
    }

    #[test]
    fn the_commands_are_sound() {
        command().debug_assert();
    }
}
