//! Commands for people: up, down, exec, logs, check.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cairn_lab::feature::Feature;
use cairn_lab::lab::{Families, Options};
use cairn_lab::pod::Request;
use cairn_lab::{Lab, Topology, demo, graph, status};
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Bring a topology up
    Up {
        /// A containerlab file (`*.clab.yml`)
        file: PathBuf,
        /// Configure addresses of these families on the links
        #[arg(long, value_enum, default_value = "dual")]
        families: Families,
        /// Another name than the file's
        #[arg(long)]
        name: Option<String>,
    },
    /// Take labs down, also what a killed lab left behind
    Down {
        /// Names of labs; may be left out when only one is up
        labs: Vec<String>,
    },
    /// Run a command in a node, or in a pod of it
    Exec {
        /// The lab; may be left out when only one is up
        #[arg(long)]
        lab: Option<String>,
        /// A pod of the node
        #[arg(long)]
        pod: Option<String>,
        /// The node
        node: String,
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// Bring up 3 nodes in 2 racks with 2 ToRs, show that all pods reach each other, and take it all down
    Demo {
        /// Leave it running, and say how to look around
        #[arg(long)]
        keep: bool,
    },
    /// Nodes, processes, interfaces, pods and BGP sessions
    Status {
        /// The lab; may be left out when only one is up
        lab: Option<String>,
    },
    /// Draw the lab with the state of its BGP sessions, as an SVG document
    Graph {
        /// The lab; may be left out when only one is up
        #[arg(long)]
        lab: Option<String>,
        /// The file to write; standard output when left out
        file: Option<PathBuf>,
    },
    /// Pods of a Cairn node
    Pod {
        /// The lab; may be left out when only one is up
        #[arg(long)]
        lab: Option<String>,
        #[command(subcommand)]
        command: PodCommand,
    },
    /// Print what a node's command has printed
    Logs {
        /// The lab; may be left out when only one is up
        #[arg(long)]
        lab: Option<String>,
        /// The node
        node: String,
    },
    /// Read a topology file and report what the lab makes of it, without running it
    Check {
        /// Containerlab files
        files: Vec<PathBuf>,
    },
    /// What this kernel has of what scenarios may need: a line `NAME yes` or `NAME no` for each
    Features,
}

#[derive(Subcommand)]
pub(crate) enum PodCommand {
    /// Add a pod with the node's CNI chain, and print its addresses
    Add {
        /// The node
        node: String,
        /// The pod's name
        name: String,
        /// `KEY=VALUE` for CNI_ARGS
        #[arg(long = "argument")]
        arguments: Vec<String>,
    },
    /// Remove a pod
    Del {
        /// The node
        node: String,
        /// The pod's name
        name: String,
    },
}

impl Command {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Up { file, families, name } => up(&file, &Options { families, name }),
            Self::Down { labs } => down(labs),
            Self::Exec { lab, pod, node, words } => {
                let mut command = open(lab)?.command(&node, pod.as_deref())?;
                Err(command.args(words).exec()).context("cannot start cairn-lab")
            }
            Self::Demo { keep } => {
                let complete = demo::run(keep)?;
                Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Self::Status { lab } => {
                print!("{}", status::text(&open(lab)?));
                Ok(ExitCode::SUCCESS)
            }
            Self::Graph { lab, file } => {
                let picture = graph::svg(&open(lab)?);
                match file {
                    Some(file) => std::fs::write(&file, picture)
                        .with_context(|| format!("cannot write {}", file.display()))?,
                    None => print!("{picture}"),
                }
                Ok(ExitCode::SUCCESS)
            }
            Self::Pod { lab, command } => pod(&open(lab)?, command),
            Self::Logs { lab, node } => {
                print!("{}", open(lab)?.log(&node)?);
                Ok(ExitCode::SUCCESS)
            }
            Self::Check { files } => {
                for file in files {
                    let topology = Topology::load(&file)?;
                    let (nodes, links) = (topology.nodes.len(), topology.links.len());
                    println!("{}: {nodes} nodes, {links} links", file.display());
                    warn(&topology);
                }
                Ok(ExitCode::SUCCESS)
            }
            Self::Features => {
                for feature in Feature::ALL {
                    println!("{feature} {}", if feature.is_there()? { "yes" } else { "no" });
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn warn(topology: &Topology) {
    for key in &topology.unused {
        eprintln!("warning: the lab has no use for `{key}`");
    }
}

fn up(file: &std::path::Path, options: &Options) -> Result<ExitCode> {
    let variables = [("CAIRN_FAMILY".to_owned(), options.families.name().to_owned())].into();
    let topology = Topology::load_with(file, &variables)?;
    warn(&topology);
    let lab = Lab::up(topology, options)?;
    println!("lab {}: {} nodes up", lab.name(), lab.topology().nodes.len());
    Ok(ExitCode::SUCCESS)
}

fn down(labs: Vec<String>) -> Result<ExitCode> {
    let labs = if labs.is_empty() { vec![only()?] } else { labs };
    for lab in labs {
        let nodes = Lab::down_by_name(&lab)?;
        println!("lab {lab}: {nodes} nodes ended");
    }
    Ok(ExitCode::SUCCESS)
}

fn pod(lab: &Lab, command: PodCommand) -> Result<ExitCode> {
    match command {
        PodCommand::Add { node, name, arguments } => {
            let pod = lab.add_pod_with(&node, &name, &Request { arguments, ..Request::default() })?;
            let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
            println!("{}", addresses.join(" "));
        }
        PodCommand::Del { node, name } => lab.delete_pod(&node, &name)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The lab of that name, or the only one there is.
pub(crate) fn open(name: Option<String>) -> Result<Lab> {
    Lab::open(&name.map_or_else(only, Ok)?)
}

fn only() -> Result<String> {
    match Lab::names().as_slice() {
        [only] => Ok(only.clone()),
        [] => bail!("no lab is up"),
        several => bail!("several labs are up, say which: {}", several.join(", ")),
    }
}
