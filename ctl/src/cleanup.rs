//! `cairnctl cleanup`: what pod networks have left on this machine: Cairn, and those that were here before.
//!
//! Run on the node, as root, when the network in question is gone from the cluster. Nothing is removed without `--remove` and the name of whose it
//! is. What goes first is what decides about packets, then routes, then interfaces, then files: half of it removed is never worse than all of it there.
//!
//! * [`product`]: whose a thing is, by its name; pure.
//! * [`iptables`]: the rules of a product within iptables' tables, which are shared with others.
//! * [`kernel`], [`files`]: what is there, and its removal.

mod files;
mod iptables;
mod kernel;
mod product;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::Error;
use crate::output::{Format, Output};
use crate::table::Table;
use product::Product;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Whose leftovers [default: everybody's].
    #[arg(value_enum)]
    of: Vec<Product>,
    /// Remove them, instead of only listing them.
    #[arg(long, requires = "of")]
    remove: bool,
    /// Where the host's file system is: a container has it elsewhere.
    #[arg(long, value_name = "PATH", default_value = "/")]
    root: PathBuf,
}

/// A thing that was left behind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Leftover {
    product: Product,
    /// What it is.
    kind: &'static str,
    name: String,
    #[serde(skip)]
    what: What,
}

/// How to get rid of it.
#[derive(Debug)]
enum What {
    Kernel(kernel::Object),
    Iptables(iptables::Removal),
    Ipset(String),
    File(PathBuf),
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> Result<(), Error> {
    let wanted = |product: Product| arguments.of.is_empty() || arguments.of.contains(&product);
    if arguments.remove {
        refuse_living(&arguments.of)?;
    }
    let mut kernel = kernel::Kernel::open()?;
    let mut leftovers = Vec::new();
    let (removals, unseen) = iptables::find()?;
    leftovers.extend(removals);
    leftovers.extend(kernel.find()?);
    leftovers.extend(files::find(&arguments.root));
    leftovers.retain(|leftover| wanted(leftover.product));
    let mut output = Output::new(format);
    show(&leftovers, &mut output)?;
    for unseen in unseen {
        eprintln!("cairnctl: {unseen}");
    }
    if !arguments.remove {
        return Ok(());
    }
    let mut failed = 0;
    for leftover in &leftovers {
        let removed = match &leftover.what {
            What::Kernel(object) => kernel.remove(object).map_err(Error::from),
            What::Iptables(removal) => removal.carry_out(),
            What::Ipset(name) => iptables::destroy_set(name),
            What::File(path) => files::remove(path),
        };
        if let Err(error) = removed {
            failed += 1;
            eprintln!("cairnctl: {} {} stays: {error}", leftover.kind, leftover.name);
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(Error::Answer(format!("{failed} of {} things could not be removed", leftovers.len()))),
    }
}

fn show(leftovers: &[Leftover], output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return leftovers.iter().try_for_each(|leftover| output.json(leftover));
    }
    if leftovers.is_empty() {
        return output.line("nothing was left behind");
    }
    let mut table = Table::new(&["OF", "WHAT", "NAME"]);
    for Leftover { product, kind, name, .. } in leftovers {
        table.row(vec![product.to_string(), (*kind).to_owned(), name.clone()]);
    }
    table.print(output)
}

/// A daemon that runs would put back what is removed.
fn refuse_living(products: &[Product]) -> Result<(), Error> {
    for (pid, name) in processes(Path::new("/proc")) {
        if let Some(product) = products.iter().find(|product| product.daemons().contains(&name.as_str())) {
            return Err(Error::Answer(format!(
                "{name} (process {pid}) runs and would put back what is removed: stop {product} on this node first"
            )));
        }
    }
    Ok(())
}

/// The running processes: number and name.
fn processes(proc: &Path) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((pid, name.trim_end().to_owned()))
    });
    named.collect()
}
