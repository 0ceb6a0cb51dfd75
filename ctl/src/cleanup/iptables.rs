//! Rules and chains of a product within the tables that iptables keeps for everybody.
//!
//! What `iptables-save` prints is read, and the opposite given to `iptables-restore --noflush`, which is one transaction for each table: rules of
//! others, and their counters, stay as they are. Both back ends are looked at, for a host may have used either.

use std::io::Write;
use std::process::{Command, Stdio};

use super::product::Product;
use super::{Leftover, What};
use crate::Error;

/// The programs of each family and back end, without `-save` and `-restore`.
const BACK_ENDS: [&str; 4] = ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"];

/// What takes a product's rules out of one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removal {
    back_end: &'static str,
    table: String,
    product: Product,
    /// Its chains, for the listing.
    chains: usize,
    /// Its rules in chains of others.
    rules: usize,
    /// What `iptables-restore` is told.
    text: String,
}

/// What there is, and what could not be looked at.
pub(super) fn find() -> Result<(Vec<Leftover>, Vec<String>), Error> {
    let (mut found, mut unseen) = (Vec::new(), Vec::new());
    for back_end in BACK_ENDS {
        match save(back_end)? {
            Some(saved) => found.extend(read(back_end, &saved).into_iter().map(|removal| Leftover {
                product: removal.product,
                kind: "iptables rules",
                name: format!(
                    "{back_end}, table {}: {} chains, and {} rules in those of others",
                    removal.table, removal.chains, removal.rules
                ),
                what: What::Iptables(removal),
            })),
            None => unseen.push(format!("{back_end}-save is not installed: its rules were not looked at")),
        }
    }
    for name in sets()? {
        if let Some(product) = Product::of_ipset(&name) {
            found.push(Leftover { product, kind: "ipset", name: name.clone(), what: What::Ipset(name) });
        }
    }
    Ok((found, unseen))
}

/// What the back end prints; `None` if it is not installed.
fn save(back_end: &str) -> Result<Option<String>, Error> {
    let program = format!("{back_end}-save");
    match Command::new(&program).stdin(Stdio::null()).stderr(Stdio::piped()).output() {
        Ok(output) if output.status.success() => {
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        // A kernel without this back end has no rules of it.
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            eprintln!("cairnctl: {program}: {}", text.trim());
            Ok(Some(String::new()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: program, source }),
    }
}

/// What each product has in each table.
fn read(back_end: &'static str, saved: &str) -> Vec<Removal> {
    let mut found = Vec::new();
    for section in saved.split("\n*").map(|section| section.trim_start_matches('*')) {
        // Comments come before the first table.
        let Some((table, body)) = section.split_once('\n').filter(|(table, _)| !table.starts_with('#'))
        else {
            continue;
        };
        found.extend(Product::ALL.into_iter().filter_map(|product| removal(back_end, table, body, product)));
    }
    found
}

fn removal(back_end: &'static str, table: &str, body: &str, product: Product) -> Option<Removal> {
    let (prefix, comment) = product.iptables()?;
    let own_chain = |line: &&str| line.strip_prefix(':').is_some_and(|chain| chain.starts_with(prefix));
    let chains: Vec<&str> = body.lines().filter(own_chain).filter_map(|line| chain_of(line)).collect();
    let foreign_rule = |line: &&str| {
        let Some(rule) = line.strip_prefix("-A ") else { return false };
        let jumps =
            [" -j ", " -g "].iter().any(|verb| rule.split(verb).skip(1).any(|to| to.starts_with(prefix)));
        let says = rule.contains(&format!("--comment \"{comment}"))
            || rule.contains(&format!("--comment {comment}"));
        !rule.starts_with(prefix) && (jumps || says)
    };
    let rules: Vec<&str> = body.lines().filter(foreign_rule).collect();
    if chains.is_empty() && rules.is_empty() {
        return None;
    }
    let mut text = format!("*{table}\n");
    for rule in &rules {
        text.push_str(&rule.replacen("-A ", "-D ", 1));
        text.push('\n');
    }
    // They refer to each other: all are emptied before the first goes.
    for verb in ["-F", "-X"] {
        for chain in &chains {
            text.push_str(&format!("{verb} {chain}\n"));
        }
    }
    text.push_str("COMMIT\n");
    Some(Removal {
        back_end,
        table: table.to_owned(),
        product,
        chains: chains.len(),
        rules: rules.len(),
        text,
    })
}

/// The name in `:NAME POLICY [PACKETS:OCTETS]`.
fn chain_of(line: &str) -> Option<&str> {
    line.strip_prefix(':')?.split(' ').next()
}

impl Removal {
    /// Does it.
    pub(super) fn carry_out(&self) -> Result<(), Error> {
        let program = format!("{}-restore", self.back_end);
        let failed = |source| Error::File { path: program.clone(), source };
        let mut child = Command::new(&program)
            .arg("--noflush")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(self.text.as_bytes()).map_err(failed)?;
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Error::Answer(format!("{program} failed: {}", said.trim())))
    }
}

/// The names of all IP sets; none where the program is not installed, for only it makes them.
fn sets() -> Result<Vec<String>, Error> {
    match Command::new("ipset").args(["list", "-name"]).stdin(Stdio::null()).output() {
        Ok(output) => Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::File { path: "ipset".to_owned(), source }),
    }
}

/// Deletes an IP set.
pub(super) fn destroy_set(name: &str) -> Result<(), Error> {
    let output = Command::new("ipset").args(["destroy", name]).stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::File { path: "ipset".to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Answer(format!("ipset destroy {name}: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::{Product, read};

    const SAVED: &str = "# Generated by iptables-save v1.8.9 on Sat Nov 21 10:00:00 2026
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment \"flanneld masq\" -j RETURN
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
# Completed on Sat Nov 21 10:00:00 2026
# Generated by iptables-save v1.8.9 on Sat Nov 21 10:00:00 2026
*filter
:INPUT ACCEPT [7:420]
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:cali-FORWARD - [0:0]
:cali-from-wl-dispatch - [0:0]
-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD
-A FORWARD -j DOCKER-USER
-A FORWARD -m comment --comment \"cali:S93hcgKJrXEqnTfs\" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-FORWARD -i cali+ -m comment --comment \"cali:8ZoYfO5HKXWbB3pk\" -j cali-from-wl-dispatch
COMMIT
";

    #[test]
    fn only_what_is_the_products_goes() {
        let found = read("iptables-nft", SAVED);
        let [flannel, calico] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((flannel.product, flannel.table.as_str()), (Product::Flannel, "nat"));
        assert_eq!(
            flannel.text,
            "*nat\n-D POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n-F FLANNEL-POSTRTG\n\
             -X FLANNEL-POSTRTG\nCOMMIT\n"
        );
        assert_eq!(
            (calico.product, calico.table.as_str(), calico.chains, calico.rules),
            (Product::Calico, "filter", 2, 2)
        );
        assert_eq!(
            calico.text,
            "*filter\n-D FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD\n\
             -D FORWARD -m comment --comment \"cali:S93hcgKJrXEqnTfs\" -m mark --mark 0x10000/0x10000 -j ACCEPT\n\
             -F cali-FORWARD\n-F cali-from-wl-dispatch\n-X cali-FORWARD\n-X cali-from-wl-dispatch\nCOMMIT\n"
        );
    }

    #[test]
    fn tables_of_others_are_left_alone() {
        assert_eq!(read("iptables-nft", ""), []);
        assert_eq!(
            read("iptables-nft", "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n"),
            []
        );
    }
}
