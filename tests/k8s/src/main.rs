//! `cairn-k8s prepare`: builds what the tests run of Kubernetes, where it is not there yet.

use anyhow::{Result, bail};
use cairn_k8s::program::Program;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["prepare"] {
        bail!("usage: cairn-k8s prepare");
    }
    for program in Program::ALL {
        println!("{}", program.path()?.display());
    }
    Ok(())
}
