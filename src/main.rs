//! The `bottleneck` program: see `bottleneck --help`. Everything it does is a call of the library; see [`cli`].

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
