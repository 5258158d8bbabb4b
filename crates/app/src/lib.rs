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

use clap::Parser;
use tidegate_model::ErrorKind;

use crate::cli::Cli;
pub use crate::replaced::Replaced;

/// Everything was done.
const DONE: u8 = 0;
/// It failed.
const FAILED: u8 = 1;
/// The command line or the configuration is not right.
const MISCONFIGURED: u8 = 2;
/// It came to its end, but some rows were rejected or are in doubt.
const PARTIAL: u8 = 3;

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    run(Replaced::default())
}

/// Runs the program with other parts and returns its exit code.
pub fn run(replaced: Replaced) -> ExitCode {
    let mut cli = Cli::parse();
    cli.args.replaced = replaced;
    // What runs for weeks says when it stops and when it goes on.
    let serves = matches!(cli.command, cli::Command::Serve { .. });
    output::start_logging(cli.verbose.saturating_add(u8::from(serves)));
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            eprintln!("error: the runtime cannot start: {cause}");
            return ExitCode::from(FAILED);
        }
    };
    // On a worker, so that reading does not hop between threads.
    let done = runtime.block_on(async { tokio::spawn(commands::execute(cli)).await });
    let code = match done {
        Ok(Ok(code)) => code,
        Err(fault) => {
            eprintln!("error: a fault of this program: {fault}. Please report it");
            FAILED
        }
        Ok(Err(error)) => {
            output::error(&error);
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
