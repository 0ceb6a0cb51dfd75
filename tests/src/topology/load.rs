//! From a file to a checked topology.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::expand::expand;
use super::file::{Definition, File};
use super::inherit::Chain;
use super::link::Link;

/// A whole topology, with inheritance worked out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Topology {
    /// The lab's name.
    pub name: String,
    /// Where the file lies; relative binds start here.
    pub directory: PathBuf,
    /// All nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// All links, in the file's order.
    pub links: Vec<Link>,
    /// Keys that are there and that the lab has no use for, as `where: key`.
    pub unused: Vec<String>,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Containerlab's kind; the lab runs `linux` alone.
    pub kind: String,
    /// The group, for people and for the picture.
    pub group: Option<String>,
    /// What it runs: see [`crate::image`].
    pub image: String,
    /// Instead of the image's entrypoint.
    pub entrypoint: Option<String>,
    /// Arguments of the entrypoint, or the command where the image has none.
    pub cmd: Option<String>,
    /// The host's name.
    pub hostname: String,
    /// Files and directories of the host that the node sees.
    pub binds: Vec<Bind>,
    /// Commands to run in the node after the links are there.
    pub exec: Vec<String>,
    /// The environment of the node's processes.
    pub env: BTreeMap<String, String>,
    /// Kernel parameters by dotted name.
    pub sysctls: BTreeMap<String, String>,
    /// Labels, for people.
    pub labels: BTreeMap<String, String>,
}

/// A bind mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bind {
    /// An absolute path on the host, or the bare name of a volume that nodes of this lab share.
    pub source: PathBuf,
    /// An absolute path in the node.
    pub target: PathBuf,
    /// Whether the node cannot write to it.
    pub read_only: bool,
}

/// Refuses what cannot be the name of a lab or a node: it becomes part of paths.
///
/// # Errors
/// The name, and the rule.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    ensure!(
        !name.is_empty() && !name.starts_with('.') && name.chars().all(plain),
        "name `{name}`: letters, digits, `-`, `.` and `_` only, at least one, and no `.` first"
    );
    Ok(())
}

impl Topology {
    /// Reads a file; variables in it come from the environment.
    ///
    /// # Errors
    /// Names file, line and column where the text is wrong, and the node or link where its meaning is.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, &BTreeMap::new())
    }

    /// Reads a file; variables in it come from `variables`, then from the environment.
    ///
    /// # Errors
    /// As [`Topology::load`].
    pub fn load_with(path: &Path, variables: &BTreeMap<String, String>) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = expand(&text, |name| variables.get(name).cloned().or_else(|| std::env::var(name).ok()));
        let path = path.canonicalize()?;
        let directory = path.parent().context("a file lies in a directory")?;
        Self::parse(&text, directory).with_context(|| path.display().to_string())
    }

    /// Reads a text whose relative binds start at `directory`.
    ///
    /// # Errors
    /// As [`Topology::load`].
    pub fn parse(text: &str, directory: &Path) -> Result<Self> {
        let file: File = serde_yaml::from_str(text)?;
        check_name(&file.name)?;
        let mut unused = report("file", file.unused());
        let body = &file.topology;
        unused.extend(report("defaults", body.defaults.unused()));
        for (word, definitions) in [("kind", &body.kinds), ("group", &body.groups)] {
            unused.extend(
                definitions.iter().flat_map(|(name, it)| report(&format!("{word} {name}"), it.unused())),
            );
        }
        let mut nodes = BTreeMap::new();
        for (name, definition) in &body.nodes {
            check_name(name).context("node")?;
            unused.extend(definition.iter().flat_map(|it| report(&format!("node {name}"), it.unused())));
            let chain = Chain::new(body, definition.as_ref());
            nodes
                .insert(name.clone(), node(name, &chain, directory).with_context(|| format!("node {name}"))?);
        }
        ensure!(!nodes.is_empty(), "topology.nodes: there is not one node");
        let mut links = Vec::new();
        for (entry, number) in body.links.iter().zip(1..) {
            unused.extend(report(&format!("link {number}"), entry.unused()));
            links.push(Link::from_entry(entry).with_context(|| format!("link {number}"))?);
        }
        check_ends(&nodes, &links)?;
        Ok(Self { name: file.name, directory: directory.to_owned(), nodes, links, unused })
    }
}

fn report(place: &str, keys: Vec<String>) -> Vec<String> {
    keys.into_iter().map(|key| format!("{place}: {key}")).collect()
}

fn check_ends(nodes: &BTreeMap<String, Node>, links: &[Link]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (end, number) in
        links.iter().zip(1..).flat_map(|(link, number)| link.ends.iter().map(move |end| (end, number)))
    {
        ensure!(nodes.contains_key(&end.node), "link {number}: there is no node `{}`", end.node);
        ensure!(
            seen.insert((&end.node, &end.interface)),
            "link {number}: {}:{} already belongs to another link",
            end.node,
            end.interface
        );
    }
    Ok(())
}

fn node(name: &str, chain: &Chain<'_>, directory: &Path) -> Result<Node> {
    fn definition_kind(it: &Definition) -> Option<&String> {
        it.kind.as_ref()
    }
    let kind = chain.nearest(definition_kind).unwrap_or_default();
    ensure!(kind == "linux", "kind `{kind}`: the lab runs nodes of kind `linux`");
    let mut binds = BTreeMap::new();
    for text in chain.joined(|it| &it.binds) {
        let mut bind = Bind::parse(&text)?;
        bind.source = directory.join(bind.source);
        binds.insert(bind.target.clone(), bind);
    }
    for text in chain.joined(|it| &it.volumes) {
        let bind = Bind::parse(&text)?;
        let bare = bind.source.components().count() == 1 && bind.source.is_relative();
        ensure!(bare, "volume `{text}`: a volume has a bare name; host paths are for `binds`");
        binds.insert(bind.target.clone(), bind);
    }
    Ok(Node {
        kind,
        group: chain.nearest(|it| it.group.as_ref()),
        image: chain.nearest(|it| it.image.as_ref()).context("image: a node of kind `linux` needs one")?,
        entrypoint: chain.nearest(|it| it.entrypoint.as_ref()),
        cmd: chain.nearest(|it| it.cmd.as_ref()),
        hostname: chain.nearest(|it| it.hostname.as_ref()).unwrap_or_else(|| name.to_owned()),
        binds: binds.into_values().collect(),
        exec: chain.joined(|it| &it.exec),
        env: chain.merged(|it| &it.env),
        sysctls: chain.merged(|it| &it.sysctls),
        labels: chain.merged(|it| &it.labels),
    })
}

impl Bind {
    /// Reads `source:target[:options]`; only the option `ro` has a meaning here.
    fn parse(text: &str) -> Result<Self> {
        let mut parts = text.split(':');
        let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        ensure!(
            !source.is_empty() && target.starts_with('/') && !target.contains(".."),
            "bind `{text}`: the form is `source:/absolute/target[:ro]`"
        );
        let read_only = parts.flat_map(|options| options.split(',')).any(|option| option == "ro");
        Ok(Self { source: source.into(), target: target.into(), read_only })
    }

    /// The name of the volume, where the source is one.
    pub fn volume(&self) -> Option<&Path> {
        self.source.is_relative().then_some(self.source.as_path())
    }
}
