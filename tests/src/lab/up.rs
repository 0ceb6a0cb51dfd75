//! Bringing a lab up: all nodes side by side, then the links, then what the nodes run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::create_dir_all;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Lab, lab_program, network, place, programs};
use crate::image::{self, Software};
use crate::node::{NodeProcess, Spec};
use crate::topology::{Bind, Topology, check_name};

/// How long a node may take to appear in `/proc` after it said that it is ready.
const APPEARS: Duration = Duration::from_secs(30);

/// The address families that the links get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Families {
    /// IPv4 addresses alone.
    Ipv4,
    /// IPv6 addresses alone.
    Ipv6,
    /// All that the file has.
    #[default]
    Dual,
}

impl Families {
    /// Every choice, in the order of tests.
    pub const ALL: [Self; 3] = [Self::Ipv4, Self::Ipv6, Self::Dual];

    /// The word for file names, and for the variable `CAIRN_FAMILY` in topology files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Dual => "dual",
        }
    }

    /// Whether an address of this text form is wanted.
    pub fn wants(self, address: &str) -> bool {
        match self {
            Self::Ipv4 => !address.contains(':'),
            Self::Ipv6 => address.contains(':'),
            Self::Dual => true,
        }
    }
}

/// How to bring a lab up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The families of the links' addresses.
    pub families: Families,
    /// Another name than the file's, so that one topology may run twice.
    pub name: Option<String>,
}

/// A node between its birth and its start.
struct Newborn {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Lab {
    /// Brings a topology up and returns when every node runs its command and has run its `exec` lines.
    ///
    /// # Errors
    /// Names the node or link at fault; whatever was up by then is taken down again.
    pub fn up(mut topology: Topology, options: &Options) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "the lab makes network namespaces: run it as root");
        if let Some(name) = &options.name {
            check_name(name)?;
            topology.name.clone_from(name);
        }
        for end in topology.links.iter_mut().flat_map(|link| &mut link.ends) {
            end.addresses.retain(|address| options.families.wants(address));
        }
        let name = topology.name.clone();
        ensure!(
            NodeProcess::of_lab(&name).is_empty(),
            "lab `{name}` is up already; `cairn-lab down {name}` ends it"
        );
        let directory = place::directory(&name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot clear {}", directory.display()))?;
        }
        place::make(&directory)?;
        std::fs::write(directory.join(place::TOPOLOGY), serde_json::to_string(&topology)?)?;
        let mut lab = Self { topology, directory, nodes: BTreeMap::new() };
        let all = lab.topology.nodes.keys().cloned().collect();
        match lab.bear(&all) {
            Ok(()) => Ok(lab),
            Err(error) => {
                let log = lab.tails();
                let error = if log.is_empty() { error } else { error.context(log) };
                // Why it did not come up counts more than what is left of it.
                match lab.down() {
                    Ok(()) => Err(error),
                    Err(left) => Err(error.context(format!("it is not down either: {left:#}"))),
                }
            }
        }
    }

    /// Brings a node that was killed back: a new root, its links again, its command and its `exec` lines.
    ///
    /// # Errors
    /// Where the node still runs, or as [`Lab::up`].
    pub fn revive(&mut self, node: &str) -> Result<()> {
        ensure!(self.process(node).is_err(), "node {node} still runs");
        self.bear(&BTreeSet::from([node.to_owned()]))
    }

    /// Starts some of the nodes and makes their links; a link to a node that does not run is left out.
    fn bear(&mut self, names: &BTreeSet<String>) -> Result<()> {
        let mut newborns = Vec::new();
        for name in names {
            newborns.push(self.spawn(name).with_context(|| format!("node {name}"))?);
        }
        for newborn in &mut newborns {
            newborn.await_ready().with_context(|| format!("node {}", newborn.name))?;
        }
        self.nodes = self.await_processes(names)?;
        network::connect(self, names)?;
        for newborn in newborns {
            newborn.start()?;
        }
        self.run_exec_lines(names)
    }

    /// Starts `node-init` and hands it the specification.
    fn spawn(&self, name: &str) -> Result<Newborn> {
        let spec = self.spec(name)?;
        let mut child = Command::new(lab_program()?)
            .args(["node-init", "--lab", self.name(), "--node", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cairn-lab")?;
        let mut input = child.stdin.take().context("standard input is piped")?;
        let output = BufReader::new(child.stdout.take().context("standard output is piped")?);
        writeln!(input, "{}", serde_json::to_string(&spec)?)?;
        Ok(Newborn { name: name.to_owned(), child, input, output })
    }

    fn spec(&self, name: &str) -> Result<Spec> {
        let node = self.topology.nodes.get(name).context("no such node")?;
        let software = Software::of(&node.image);
        let mut binds: Vec<Bind> = software.contents(&programs()?)?;
        for bind in &node.binds {
            let mut bind = bind.clone();
            if let Some(volume) = bind.volume() {
                bind.source = self.directory.join("volumes").join(volume);
                create_dir_all(&bind.source)?;
            }
            ensure!(bind.source.exists(), "bind source {} does not exist", bind.source.display());
            binds.push(bind);
        }
        binds.sort_by(|left, right| left.target.cmp(&right.target));
        let scratch = self.directory.join("nodes").join(name);
        create_dir_all(&scratch)?;
        let mut env = BTreeMap::from([
            ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("HOME".to_owned(), "/root".to_owned()),
        ]);
        env.extend(node.env.clone());
        Ok(Spec {
            hostname: node.hostname.clone(),
            command: software.command(node),
            env,
            sysctls: node.sysctls.clone(),
            binds,
            scratch,
            log: self.log_path(name),
        })
    }

    /// Waits until nodes are visible in `/proc`.
    fn await_processes(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, NodeProcess>> {
        let deadline = Instant::now() + APPEARS;
        loop {
            let found = NodeProcess::of_lab(self.name());
            let missing: Vec<&String> = names.iter().filter(|name| !found.contains_key(*name)).collect();
            if missing.is_empty() {
                return Ok(found);
            }
            ensure!(Instant::now() < deadline, "nodes do not appear: {missing:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn run_exec_lines(&self, names: &BTreeSet<String>) -> Result<()> {
        for (name, node) in self.topology.nodes.iter().filter(|(name, _)| names.contains(*name)) {
            for line in &node.exec {
                let words = image::split(line);
                let output =
                    self.exec(name, &words).with_context(|| format!("node {name}: exec `{line}`"))?;
                ensure!(output.success, "node {name}: exec `{line}` failed: {}", output.text().trim());
            }
        }
        Ok(())
    }
}

impl Newborn {
    fn await_ready(&mut self) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        self.child.wait()?;
        if line.trim() != "ready" {
            bail!("it ended before it was ready; its reason is above");
        }
        Ok(())
    }

    fn start(mut self) -> Result<()> {
        writeln!(self.input, "start").with_context(|| format!("node {} ended", self.name))
    }
}
