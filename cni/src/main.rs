//! The CNI plugin's process: environment and standard input to [`cairn_cni::run`], its outcome to standard output.
//! Called with words, it installs itself ([`cairn_cni::install`]) or says what it is.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use cairn_cni::install::{Install, InstallError, USAGE};
use cairn_cni::limits::MAX_STDIN;

const ABOUT: &str = concat!(
    "cairn-cni ",
    env!("CARGO_PKG_VERSION"),
    ": Cairn's CNI plugin, for CNI 0.3.1 to 1.1.0.\n",
    "Runtimes call it with CNI_COMMAND in the environment and a network configuration on standard input.\n"
);

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let first = words.next();
    if first.as_deref() == Some("install".as_ref()) {
        return install(words);
    }
    let mut stdout = std::io::stdout().lock();
    let (written, code) = if first.is_some() {
        (writeln!(stdout, "{ABOUT}{USAGE}"), 0)
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

/// Puts this program and its list where the runtime looks.
fn install(words: impl Iterator<Item = OsString>) -> ExitCode {
    let program = std::path::Path::new("/proc/self/exe");
    match Install::parse(words).and_then(|install| install.run(program)) {
        Ok(notes) => {
            for note in notes {
                eprintln!("cairn-cni: {note}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cairn-cni: {error}");
            ExitCode::from(if matches!(error, InstallError::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Standard input, but no more of it than is refused anyway.
fn stdin() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_STDIN as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
