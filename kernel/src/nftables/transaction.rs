use std::fmt;

use super::table::header;
use super::uapi::{self, message};
use super::{Chain, Element, Flowtable, Rule, Set, Table};
use crate::Error;
use crate::netlink::{Batch, Socket};

/// The elements of one message stay below the 64 KiB that an attribute can hold.
const ELEMENT_BYTES: usize = 48 * 1024;

/// Changes to a table that come into force together, or not at all.
#[derive(Debug)]
pub struct Transaction {
    table: Table,
    batch: Batch,
    /// What each message is about, the begin message first.
    steps: Vec<Step>,
    sets: u32,
}

#[derive(Debug)]
struct Step {
    operation: &'static str,
    kind: &'static str,
    name: String,
}

/// A flowtable with the devices that a step is about.
fn named(flowtable: &Flowtable, devices: &[&str]) -> String {
    match devices {
        [] => flowtable.name.to_owned(),
        devices => format!("{} on {}", flowtable.name, devices.join(", ")),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Transaction {
    /// An empty transaction on a table.
    pub fn new(table: Table) -> Self {
        let mut batch = Batch::new();
        batch.message(message::BATCH_BEGIN, 0, &header(0, uapi::SUBSYSTEM));
        let begin = Step { operation: "commit", kind: "table", name: table.to_string() };
        Self { table, batch, steps: vec![begin], sets: 0 }
    }

    /// True if nothing would change.
    pub const fn is_empty(&self) -> bool {
        self.steps.len() == 1
    }

    /// Makes the table unless it is there.
    pub fn create_table(&mut self) -> &mut Self {
        self.table.encode_create(&mut self.batch);
        self.step("create", "table", self.table.to_string())
    }

    /// Deletes the table with all that is in it. It must be there.
    pub fn delete_table(&mut self) -> &mut Self {
        self.table.encode_delete(&mut self.batch);
        self.step("delete", "table", self.table.to_string())
    }

    /// Makes a chain unless it is there. A chain that is there keeps its hook and its rules.
    pub fn create_chain(&mut self, chain: &Chain) -> &mut Self {
        chain.encode_create(&self.table, &mut self.batch);
        self.step("create", "chain", chain.name.clone())
    }

    /// Deletes a chain. It must be there, and nothing may jump to it any more.
    pub fn delete_chain(&mut self, name: &str) -> &mut Self {
        Chain::encode_delete(name, &self.table, &mut self.batch);
        self.step("delete", "chain", name.to_owned())
    }

    /// Deletes a chain with its rules, if it is there. Needs Linux 6.3, which an older one says by `EINVAL`.
    pub fn destroy_chain(&mut self, name: &str) -> &mut Self {
        Chain::encode_destroy(name, &self.table, &mut self.batch);
        self.step("destroy", "chain", name.to_owned())
    }

    /// Deletes the rules of a chain, which must be there.
    pub fn flush_chain(&mut self, name: &str) -> &mut Self {
        Rule::encode_flush(name, &self.table, &mut self.batch);
        self.step("flush", "chain", name.to_owned())
    }

    /// Puts a rule at the end of its chain.
    pub fn append_rule(&mut self, rule: &Rule) -> &mut Self {
        rule.encode_append(&self.table, &mut self.batch);
        self.step("append", "rule", format!("{:?} of chain {}", rule.comment, rule.chain))
    }

    /// Makes a set unless it is there. One that is there must be of the same type, and keeps its elements.
    pub fn create_set(&mut self, set: &Set) -> &mut Self {
        self.sets += 1;
        set.encode_create(self.sets, &self.table, &mut self.batch);
        self.step("create", "set", set.name.clone())
    }

    /// Deletes a set. It must be there, and no rule may use it any more.
    pub fn delete_set(&mut self, name: &str) -> &mut Self {
        Set::encode_delete(name, &self.table, &mut self.batch);
        self.step("delete", "set", name.to_owned())
    }

    /// Makes a flowtable unless it is there, and adds devices to it, each of which must be there. That it has one already is no error.
    pub fn create_flowtable(&mut self, flowtable: &Flowtable, devices: &[&str]) -> &mut Self {
        flowtable.encode_create(devices, &self.table, &mut self.batch);
        self.step("create", "flowtable", named(flowtable, devices))
    }

    /// Takes devices out of a flowtable. Each must be in it.
    pub fn delete_flowtable_devices(&mut self, flowtable: &Flowtable, devices: &[&str]) -> &mut Self {
        flowtable.encode_delete_devices(devices, &self.table, &mut self.batch);
        self.step("delete devices of", "flowtable", named(flowtable, devices))
    }

    /// Adds elements to a set. One that is there already is no error, unless it is a map's with another value.
    pub fn add_elements(&mut self, set: &str, elements: impl IntoIterator<Item = Element>) -> &mut Self {
        self.elements(set, elements, message::NEW_ELEMENT, "add")
    }

    /// Deletes elements from a set. Each must be there.
    pub fn delete_elements(&mut self, set: &str, elements: impl IntoIterator<Item = Element>) -> &mut Self {
        self.elements(set, elements, message::DEL_ELEMENT, "delete")
    }

    fn elements(
        &mut self,
        set: &str,
        elements: impl IntoIterator<Item = Element>,
        kind: u16,
        operation: &'static str,
    ) -> &mut Self {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        let mut elements = elements.into_iter().peekable();
        while let Some(element) = elements.next() {
            bytes += element.encoded_len();
            chunk.push(element);
            if bytes >= ELEMENT_BYTES || elements.peek().is_none() {
                Set::encode_elements(set, &chunk, kind, &self.table, &mut self.batch);
                self.step(operation, "elements of set", set.to_owned());
                chunk.clear();
                bytes = 0;
            }
        }
        self
    }

    fn step(&mut self, operation: &'static str, kind: &'static str, name: String) -> &mut Self {
        self.steps.push(Step { operation, kind, name });
        self
    }

    /// Puts it in force. An empty transaction does nothing.
    ///
    /// Errors: the first refused step; then nothing has changed.
    pub fn commit(mut self, socket: &mut Socket) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        self.batch.message(message::BATCH_END, 0, &header(0, uapi::SUBSYSTEM));
        let outcome = socket
            .transact(&mut self.batch)
            .map_err(|refusal| Error::refused("commit", format_args!("table {}", self.table), refusal))?;
        let Err(refusals) = outcome else { return Ok(()) };
        let first = refusals.into_iter().min_by_key(|(index, _)| *index);
        let Some((index, refusal)) = first else { return Ok(()) };
        let (operation, object) = match self.steps.get(index) {
            Some(step) => (step.operation, step.to_string()),
            None => ("commit", format!("table {}", self.table)),
        };
        Err(Error::refused(operation, format_args!("{object} of table {}", self.table), refusal))
    }
}
