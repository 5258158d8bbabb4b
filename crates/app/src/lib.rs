//! `tidegate`: customer data between warehouses, streams and engagement platforms.
//!
//! The library is the program without its entry point, so that tests reach the registry.

mod cli;
mod commands;
mod output;
mod owner;
mod parts;
mod progress;
pub mod registry;
mod replaced;
mod sandbox;

use std::process::ExitCode;

use tidegate_model::{Error, ErrorKind};

use crate::cli::Output;
use crate::commands::documents::Failure;
pub use crate::replaced::Replaced;

/// Everything was done.
const DONE: u8 = 0;
/// It failed.
const FAILED: u8 = 1;
/// The command line or the configuration is not right.
const MISCONFIGURED: u8 = 2;
/// There are changes, and the command line asks to tell so.
const CHANGED: u8 = 4;
/// It came to its end, but some rows were rejected or are in doubt.
const PARTIAL: u8 = 3;

/// The stack of each thread that runs tasks. Only what is used takes memory.
const STACK_BYTES: usize = 8 << 20;

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    run(Replaced::default())
}

/// Runs the program with other parts and returns its exit code.
pub fn run(replaced: Replaced) -> ExitCode {
    if cli::complete::answer() {
        return ExitCode::from(DONE);
    }
    let mut cli = match cli::parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(misused(&error)),
    };
    cli.args.replaced = replaced;
    let out = cli.output;
    // A server logs when it stops and when it recovers.
    let serves = matches!(cli.command, cli::Command::Serve { .. });
    output::logging::start(cli.verbose.saturating_add(u8::from(serves)), cli.log_format);
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Not optimized, a read by gRPC inside of a run takes more than the 2 MiB that threads have.
    let runtime = match runtime.enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            output::failure(&format!("the runtime cannot start: {cause}"), "free some memory or threads");
            return ExitCode::from(FAILED);
        }
    };
    // On a worker, so that reading does not hop between threads.
    let done = runtime.block_on(async { tokio::spawn(commands::execute(cli)).await });
    let done = done.unwrap_or_else(|_| {
        // What went wrong, and where, was printed when it did.
        Err(Error::internal("the command was ended by an internal error")
            .hint("please report it, with the lines above"))
    });
    let code = match done {
        Ok(code) => code,
        Err(error) => {
            match out {
                Output::Text => output::error(&error),
                _ => output::document(out, &Failure::of(&error)),
            }
            match error.kind() {
                ErrorKind::Settings => MISCONFIGURED,
                _ => FAILED,
            }
        }
    };
    // Reads under way on blocking threads are not worth waiting for.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Prints the help that was asked for, or what is wrong with the command line, and
/// returns the exit code.
fn misused(error: &clap::Error) -> u8 {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand as Incomplete;
    if !error.use_stderr() {
        let _ = error.print();
        return DONE;
    }
    let words: Vec<String> = std::env::args().collect();
    let wants = |format: &str| {
        words.contains(&format!("--output={format}"))
            || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == format)
    };
    let hint = cli::hints::hint(error);
    let next_step = hint.unwrap_or("`tidegate --help` lists verbs and options");
    for (format, out) in [("json", Output::Json), ("jsonl", Output::Jsonl)] {
        if wants(format) {
            let failure = Failure::usage(cli::hints::sentence(error), next_step.to_owned());
            output::document(out, &failure);
            return MISCONFIGURED;
        }
    }
    match hint {
        Some(hint) if error.kind() != Incomplete => output::failure(&cli::hints::sentence(error), hint),
        _ => drop(error.print()),
    }
    MISCONFIGURED
}
