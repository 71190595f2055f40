//! The `queen` program: hands its arguments to the command line, nothing else.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main().into()
}
