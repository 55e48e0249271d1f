//! The `tributary` program.

use std::process::ExitCode;

use tributary::cli;
use tributary::config::Env;

fn main() -> ExitCode {
    let env = Env::process();
    match cli::run(&env) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("tributary: {error:#}");
            ExitCode::from(cli::exit_code(&error))
        }
    }
}
