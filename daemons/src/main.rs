//! `mooseng`: every role of a cluster and every verb of its operator.

fn main() -> std::process::ExitCode {
    mooseng::cli::run(std::env::args_os())
}
