//! The entry point of `tidegate`.

use std::process::ExitCode;

/// Rows are made on one thread and forgotten on another, which is what the
/// system's allocator is slowest at: see `docs/decisions/0017-jemalloc.md`.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tidegate::main()
}
