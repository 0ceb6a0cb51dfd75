//! The CNI plugin's process: environment and standard input to [`cairn_cni::run`], its outcome to standard output.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use cairn_cni::limits::MAX_STDIN;

const ABOUT: &str = concat!(
    "cairn-cni ",
    env!("CARGO_PKG_VERSION"),
    ": Cairn's CNI plugin, for CNI 0.3.1 to 1.1.0.\n",
    "Runtimes call it with CNI_COMMAND in the environment and a network configuration on standard input.\n"
);

fn main() -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let (written, code) = if std::env::args_os().len() > 1 {
        (stdout.write_all(ABOUT.as_bytes()), 0)
    } else {
        let outcome = cairn_cni::run(|name| std::env::var_os(name), stdin);
        let written = match &outcome.stdout {
            Some(json) => writeln!(stdout, "{json:#}"),
            None => Ok(()),
        };
        (written, outcome.exit_code)
    };
    if written.is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE }
}

/// Standard input, but no more of it than is refused anyway.
fn stdin() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_STDIN as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
