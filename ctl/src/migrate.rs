//! `cairnctl migrate`: another pod network's objects become Cairn's.
//!
//! * [`calico`]: the translation, pure.
//! * [`dump`], [`cluster`]: what is read.
//! * [`report`]: what is said of it.
//! * [`mod@write`], [`apply`]: where the objects go; [`held`]: what of Calico's addresses is kept back, without a gap.

mod apply;
mod calico;
mod cluster;
mod dump;
mod held;
mod report;
mod write;

use std::path::PathBuf;

use cairn_datastore::Access;
use clap::{Args, Subcommand};

use crate::Error;
use crate::output::{Format, Output};
use crate::place::Store;
use calico::{Options, Outcome, Translation};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    from: From,
}

#[derive(Subcommand)]
enum From {
    /// Calico's objects, from a cluster or as kubectl or calicoctl print them.
    ///
    /// Prints Cairn's objects, and on the error output what has no counterpart, what means something else and what is refused. Changes
    /// nothing unless --apply is given. See docs/guide/migrate-from-calico.md.
    Calico(Calico),
}

#[derive(Args)]
struct Calico {
    /// Files with YAML or JSON, directories of such, or - for the standard input.
    #[arg(required_unless_present = "from", conflicts_with = "from", value_name = "DUMP")]
    dumps: Vec<PathBuf>,
    /// Read from a cluster's API server instead: kubeconfig:/path, or kubernetes (as a pod of the cluster). Nothing is written there but what --apply
    /// says.
    #[arg(long, value_name = "CLUSTER", value_parser = cluster::access)]
    from: Option<Access>,
    /// Translate pools as disabled ones: Cairn's pods get their addresses from pools of their own.
    #[arg(long)]
    disable_pools: bool,
    /// Write one file for each object into this directory, which must be new or empty.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "apply")]
    to: Option<PathBuf>,
    /// Put the objects into the store. What is there already and was not made by this command is left as it is.
    #[arg(long)]
    apply: bool,
    /// Go on with the rest where objects are refused; pools stay out all the same while a block, affinity or handle is among them, for they would give its
    /// addresses again (--disable-pools).
    #[arg(long)]
    skip_refused: bool,
    #[command(flatten)]
    store: Store,
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<(), Error> {
    let From::Calico(calico) = arguments.from;
    let (documents, absent) = match &calico.from {
        Some(access) => cluster::read(access).await?,
        None => (dump::read(&calico.dumps)?, Vec::new()),
    };
    let options = Options { disable_pools: calico.disable_pools };
    let mut translation = calico::translate(documents, options);
    translation.notes.extend(absent);
    let mut output = Output::new(format);
    let refused = refused(&translation);
    report::print(&translation.notes, &mut output)?;
    let hold = refused > 0 && !calico.skip_refused;
    match (&calico.to, calico.apply) {
        _ if hold && (calico.apply || calico.to.is_some()) => {}
        (Some(directory), _) => write::directory(&translation.objects, directory, &mut output)?,
        (None, true) => apply::all(&calico.store.open().await?, &translation.objects, &mut output).await?,
        (None, false) => write::stream(&translation.objects, &mut output)?,
    }
    if hold {
        let rest =
            if calico.apply || calico.to.is_some() { "nothing is written" } else { "the rest is above" };
        return Err(Error::Answer(format!(
            "objects refused: {refused}; {rest}. Mend them, leave them out of a dump, or take --skip-refused"
        )));
    }
    Ok(())
}

/// How many objects are refused.
fn refused(translation: &Translation) -> usize {
    let refused = translation.notes.iter().filter(|note| note.outcome == Outcome::Refused);
    refused.map(|note| &note.object).collect::<std::collections::BTreeSet<_>>().len()
}
