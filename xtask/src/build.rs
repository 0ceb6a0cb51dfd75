//! `cargo xtask build`: every program, static.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// Programs that an installation or the lab needs.
pub(crate) const PROGRAMS: [(&str, &str); 6] = [
    ("bgpd", "bgpd"),
    ("felix-lite", "felix-lite"),
    ("cairn-cni", "cairn-cni"),
    ("cairnctl", "cairnctl"),
    ("cairn-controller", "cairn-controller"),
    ("cairn-lab", "cairn-lab"),
];

/// What `build` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The cargo profile; `dist` is what is shipped
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Builds and lists what was built.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let directory = programs(&arguments.profile)?;
    for (_, program) in PROGRAMS {
        let path = directory.join(program);
        let bytes = path.metadata().with_context(|| format!("{} was not built", path.display()))?.len();
        println!("{:>8.1} MB  {}", bytes as f64 / 1e6, path.display());
    }
    Ok(())
}

/// Builds all programs of a profile and returns the directory that holds them.
pub(crate) fn programs(profile: &str) -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--bins", "--profile", if profile == "debug" { "dev" } else { profile }]);
    for (package, _) in PROGRAMS {
        cargo.args(["--package", package]);
    }
    process::run(&mut cargo)?;
    let directory = workspace::programs(profile)?;
    for (_, program) in PROGRAMS {
        static_only(&directory.join(program))?;
    }
    Ok(directory)
}

/// What builds all test programs of the workspace, and with them what they run, in the profile for development. Both by one command: cargo
/// would build most libraries once more for programs alone, which need fewer of their features.
pub(crate) fn everything() -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--workspace", "--bins", "--tests", "--locked"]);
    cargo
}

/// Refuses a program that names an interpreter (ELF PT_INTERP): it would not run on a host with another libc.
fn static_only(path: &std::path::Path) -> Result<()> {
    const INTERPRETER: u32 = 3;
    let image = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let word = |at: usize, size: usize| -> Option<u64> {
        let bytes = image.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    // ELF64: e_phoff at 32, e_phentsize at 54, e_phnum at 56; p_type is the first word of an entry.
    let table = usize::try_from(word(32, 8).context("no ELF header")?)?;
    let size = usize::try_from(word(54, 2).context("no ELF header")?)?;
    for index in 0..usize::try_from(word(56, 2).context("no ELF header")?)? {
        if word(table + index * size, 4) == Some(u64::from(INTERPRETER)) {
            bail!("{} is linked dynamically; .cargo/config.toml asks for static programs", path.display());
        }
    }
    Ok(())
}
