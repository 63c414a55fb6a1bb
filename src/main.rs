//! The `bottleneck` program: see `bottleneck --help`. Every command only calls the library; see
//! [`cli`].

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
