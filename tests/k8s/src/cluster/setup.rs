//! What a cluster needs before it can start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_lab::lab::programs;

use crate::image::Image;
use crate::program::Program;

/// The image of pods' sandboxes.
pub(super) const PAUSE: &str = "localhost/cairn-pause:dev";

/// A program of Cairn's or of the lab's.
pub(super) fn built(name: &str) -> Result<PathBuf> {
    let path = programs()?.join(name);
    path.canonicalize().with_context(|| format!("{} is missing: run `cargo build --bins`", path.display()))
}

/// Writes the images of all containers, made of programs that lie here: there is no registry.
pub(super) fn write_images(state: &Path) -> Result<()> {
    let images = [
        Image {
            name: PAUSE.to_owned(),
            programs: vec![(built("cairn-pause")?, "/pause")],
            entrypoint: vec!["/pause"],
        },
        Image {
            name: "localhost/coredns:dev".to_owned(),
            programs: vec![(Program::Coredns.path()?, "/coredns")],
            entrypoint: vec!["/coredns"],
        },
        // What Kubernetes' own tests run in pods, and the lab's probes.
        Image {
            name: "localhost/probe:dev".to_owned(),
            programs: vec![
                (Program::Agnhost.path()?, "/usr/local/bin/agnhost"),
                (built("cairn-lab")?, "/usr/local/bin/cairn-lab"),
            ],
            entrypoint: vec!["/usr/local/bin/agnhost"],
        },
        // The name in deploy/daemonset.yaml and deploy/controller.yaml, with what they leave out.
        Image {
            name: "docker.io/library/cairn-node:dev".to_owned(),
            programs: vec![
                (built("bgpd")?, "/usr/local/bin/bgpd"),
                (built("felix-lite")?, "/usr/local/bin/felix-lite"),
                (built("cairnctl")?, "/usr/local/bin/cairnctl"),
                (built("cairn-controller")?, "/usr/local/bin/cairn-controller"),
                (built("cairn-cni")?, "/opt/cni/bin/cairn-cni"),
            ],
            entrypoint: Vec::new(),
        },
    ];
    for (number, image) in images.iter().enumerate() {
        image.write(&state.join(format!("images/{number}.tar"))).with_context(|| image.name.clone())?;
    }
    Ok(())
}
