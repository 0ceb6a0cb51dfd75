//! What a container image stands for: the lab has no images, only the programs that are installed on the host.
//!
//! The last part of the image's repository decides (`quay.io/frrouting/frr:10.2.1` is `frr`). Whatever is not known here is a
//! plain host, which runs its `cmd` if there is one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::lab::lab_program;
use crate::topology::{Bind, Node};

/// The kinds of software that a node may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Software {
    /// bgpd and felix-lite with the CNI plugin, as in deploy/Dockerfile.
    Cairn,
    /// BIRD 2, `/etc/bird/bird.conf`.
    Bird,
    /// FRRouting, `/etc/frr/daemons` and `/etc/frr/frr.conf`.
    Frr,
    /// GoBGP, `/etc/gobgp/gobgpd.toml`.
    Gobgp,
    /// Nothing but the kernel and the node's `cmd`.
    Host,
}

impl Software {
    /// Reads the image's name.
    pub fn of(image: &str) -> Self {
        let name = image.rsplit('/').next().unwrap_or_default();
        match name.split([':', '@']).next().unwrap_or_default() {
            "cairn-node" => Self::Cairn,
            "bird" => Self::Bird,
            "frr" => Self::Frr,
            "gobgp" => Self::Gobgp,
            _ => Self::Host,
        }
    }

    /// One word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cairn => "cairn",
            Self::Bird => "bird",
            Self::Frr => "frr",
            Self::Gobgp => "gobgp",
            Self::Host => "host",
        }
    }

    /// The entrypoint of the image.
    fn entrypoint(self) -> &'static [&'static str] {
        match self {
            Self::Cairn => &["/usr/local/bin/cairn-entrypoint"],
            Self::Bird => &["/bin/sh", "-c", BIRD, "bird"],
            Self::Frr => &["/bin/sh", "-c", FRR],
            Self::Gobgp => &["gobgpd", "-f", "/etc/gobgp/gobgpd.toml", "--api-hosts", "127.0.0.1:50051"],
            Self::Host => &[],
        }
    }

    /// The command line that a node runs: entrypoint and `cmd`, as docker joins them.
    pub fn command(self, node: &Node) -> Vec<String> {
        let mut command: Vec<String> = match &node.entrypoint {
            Some(entrypoint) => split(entrypoint),
            None => self.entrypoint().iter().map(ToString::to_string).collect(),
        };
        command.extend(node.cmd.as_deref().map(split).unwrap_or_default());
        command
    }

    /// What the image contains that the host's root does not have: the lab's own program for probes, and
    /// Cairn, just built.
    pub fn contents(self, programs: &Path) -> Result<Vec<Bind>> {
        let mut contents = vec![(lab_program()?, "/usr/local/bin/cairn-lab")];
        if self == Self::Cairn {
            let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
            contents.push((deploy.join("entrypoint.sh"), "/usr/local/bin/cairn-entrypoint"));
            contents.push((deploy.join("10-cairn.conflist"), "/etc/cni/net.d/10-cairn.conflist"));
            contents.extend(CAIRN.map(|(program, target)| (programs.join(program), target)));
        }
        let bind = |(source, target): (PathBuf, &str)| -> Result<Bind> {
            let source = source.canonicalize().with_context(|| {
                format!("{} is missing: build it with `cargo xtask build`", source.display())
            })?;
            Ok(Bind { source, target: target.into(), read_only: true })
        };
        contents.into_iter().map(bind).collect()
    }
}

/// The programs of deploy/Dockerfile, and where they are in a node.
const CAIRN: [(&str, &str); 4] = [
    ("bgpd", "/usr/local/bin/bgpd"),
    ("felix-lite", "/usr/local/bin/felix-lite"),
    ("cairnctl", "/usr/local/bin/cairnctl"),
    ("cairn-cni", "/opt/cni/bin/cairn-cni"),
];

/// BIRD does not make the directory of its control socket.
const BIRD: &str = r#"mkdir -p /run/bird && exec bird -f -c /etc/bird/bird.conf "$@""#;

/// What FRR's own container does: zebra, staticd and the daemons that are switched on, then the configuration.
const FRR: &str = r#"
set -e
mkdir -p /var/run/frr /var/log/frr
[ -f /etc/frr/vtysh.conf ] || touch /etc/frr/vtysh.conf
chown -R frr:frr /var/run/frr /var/log/frr
on() { grep -Eq "^$1=yes" /etc/frr/daemons; }
/usr/lib/frr/zebra -d -A 127.0.0.1 -s 90000000 --log stdout >/proc/1/fd/1 2>&1
/usr/lib/frr/staticd -d -A 127.0.0.1
if on bfdd; then /usr/lib/frr/bfdd -d -A 127.0.0.1; fi
/usr/lib/frr/bgpd -d -A 127.0.0.1 --log stdout
vtysh -b
exec tail -f /dev/null
"#;

/// Splits a command line at blanks, minding quotes, as containerlab does.
pub fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (mark, Some(open)) if mark == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::{Software, split};

    #[test]
    fn the_last_part_of_the_repository_decides() {
        assert_eq!(Software::of("quay.io/frrouting/frr:8.4.4"), Software::Frr);
        assert_eq!(Software::of("localhost/cairn-node:dev"), Software::Cairn);
        assert_eq!(Software::of("registry.example:5000/bird@sha256:0"), Software::Bird);
        assert_eq!(Software::of("alpine"), Software::Host);
    }

    #[test]
    fn words_may_be_quoted() {
        assert_eq!(split(r#"sh -c 'a "b"' "c \" d" e\ f  """#), ["sh", "-c", "a \"b\"", "c \" d", "e f", ""]);
    }
}
