//! What a cluster needs before it can start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_lab::lab::programs;

use crate::image::Image;
use crate::program::Program;

/// The image of pods' sandboxes.
pub(super) const PAUSE: &str = "localhost/cairn-pause:dev";

/// The programs of a node's image, as deploy/Dockerfile has them, and where they are in it.
const NODE: [(&str, &str); 5] = [
    ("bgpd", "/usr/local/bin/bgpd"),
    ("felix-lite", "/usr/local/bin/felix-lite"),
    ("cairnctl", "/usr/local/bin/cairnctl"),
    ("cairn-controller", "/usr/local/bin/cairn-controller"),
    ("cairn-cni", "/opt/cni/bin/cairn-cni"),
];

/// A program of Cairn's or of the lab's.
pub(super) fn built(name: &str) -> Result<PathBuf> {
    let path = programs()?.join(name);
    path.canonicalize().with_context(|| format!("{} is missing: run `cargo build --bins`", path.display()))
}

/// Writes the images of all containers, made of programs that lie here: there is no registry.
pub(super) fn write_images(state: &Path) -> Result<()> {
    let node = NODE.into_iter().map(|(program, target)| built(program).map(|path| (path, target)));
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
            programs: node.collect::<Result<_>>()?,
            entrypoint: Vec::new(),
        },
    ];
    for (number, image) in images.iter().enumerate() {
        image.write(&state.join(format!("images/{number}.tar"))).with_context(|| image.name.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last stage of the file, which is built unless another is named.
    fn last_stage(text: &str) -> Vec<&str> {
        let lines: Vec<&str> = text.lines().collect();
        let begin = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
        lines[begin..].iter().copied().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    #[test]
    fn the_dockerfile_makes_the_image_that_is_tested() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/Dockerfile");
        let text = std::fs::read_to_string(path).unwrap();
        let stage = last_stage(&text);
        let (from, copies) = stage.split_first().unwrap();
        assert_eq!(*from, "FROM scratch");
        let mut programs = Vec::new();
        for line in copies {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [copy, from, sources @ .., directory] = words.as_slice() else { panic!("{line}") };
            assert_eq!((*copy, *from), ("COPY", "--from=build"), "{line}");
            for source in sources {
                let name = source.strip_prefix("/programs/").unwrap();
                programs.push((name.to_owned(), format!("{directory}{name}")));
            }
        }
        assert_eq!(programs, NODE.map(|(name, target)| (name.to_owned(), target.to_owned())));
        for (name, _) in NODE {
            let built =
                text.contains(&format!("--package {name}")) && text.contains(&format!("-name {name} "));
            assert!(built, "{name} is not built");
        }
    }
}
