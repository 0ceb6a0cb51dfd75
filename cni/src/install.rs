//! `cairn-cni install`: puts the plugin and its list of plugins where the node's container runtime looks for them.
//!
//! Invariants: whoever looks at a moment finds the old file or the new one, whole, even after a power failure; what is the same already
//! is not touched; files of others are never touched. So an upgrade is the same as a downgrade, and doing it twice is the same as once.
//! Not here: whether the node is ready for pods. Runtimes learn that by STATUS, and by an ADD that is refused until felix-lite is there.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

/// The plugin's name, in lists and as a file.
const PLUGIN: &str = "cairn-cni";

/// How to call it.
pub const USAGE: &str = "usage: cairn-cni install --conflist FILE [--bin-dir DIR] [--conf-dir DIR]";

/// What to install, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The list of plugins; the installed one has its name.
    pub conflist: PathBuf,
    /// Where the runtime looks for plugins.
    pub bin_dir: PathBuf,
    /// Where the runtime looks for lists; it takes the first by name.
    pub conf_dir: PathBuf,
}

/// Why nothing, or not all, was installed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The command line.
    #[error("{0}\n{USAGE}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The list is none that a runtime would take.
    #[error("{path}: {rule}", path = path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// What it should be.
        rule: String,
    },
}

/// What was done, or should be known: a line of the log each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A file is new or was replaced.
    Installed(PathBuf),
    /// A file was the same already.
    Unchanged(PathBuf),
    /// Another list comes before ours, and the runtime takes that one.
    Hidden(PathBuf),
    /// The list names a plugin that is not there.
    Missing(PathBuf),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed(path) => write!(f, "installed {}", path.display()),
            Self::Unchanged(path) => write!(f, "{} is the same already", path.display()),
            Self::Hidden(path) => {
                write!(f, "warning: the runtime takes {}, which comes first", path.display())
            }
            Self::Missing(path) => {
                write!(f, "warning: the list names a plugin that is not there: {}", path.display())
            }
        }
    }
}

impl Install {
    /// Reads the words behind `install`.
    ///
    /// # Errors
    /// A word that is not known, or without its value; no list.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, InstallError> {
        let (mut conflist, mut bin_dir, mut conf_dir) = (None, None, None);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy().into_owned();
            let (name, joined) = match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
                None => (text, None),
            };
            let place = match name.as_str() {
                "--conflist" => &mut conflist,
                "--bin-dir" => &mut bin_dir,
                "--conf-dir" => &mut conf_dir,
                other => return Err(InstallError::Usage(format!("{other:?} is not known"))),
            };
            let value = joined.or_else(|| words.next()).filter(|value| !value.is_empty());
            *place = Some(value.ok_or_else(|| InstallError::Usage(format!("{name} has no value")))?);
        }
        let conflist = conflist.ok_or_else(|| InstallError::Usage("--conflist is not given".to_owned()))?;
        let or = |given: Option<OsString>, default: &str| given.map_or_else(|| default.into(), PathBuf::from);
        Ok(Self {
            conflist: conflist.into(),
            bin_dir: or(bin_dir, "/opt/cni/bin"),
            conf_dir: or(conf_dir, "/etc/cni/net.d"),
        })
    }

    /// Installs the plugin, whose program is given, and then the list: none ever names a plugin that is not there yet.
    ///
    /// # Errors
    /// See [`InstallError`]. A list that is wrong is not installed, nor is anything else then.
    pub fn run(&self, program: &Path) -> Result<Vec<Note>, InstallError> {
        let list = read(&self.conflist)?;
        let plugins = plugins(&list)
            .map_err(|rule| InstallError::List { path: self.conflist.clone(), rule: rule.to_owned() })?;
        let name = self.conflist.file_name().ok_or_else(|| InstallError::List {
            path: self.conflist.clone(),
            rule: "a file's name is needed".to_owned(),
        })?;
        if !is_read_by_runtimes(&self.conflist) {
            let rule = "runtimes read a list only from a file named *.conflist".to_owned();
            return Err(InstallError::List { path: self.conflist.clone(), rule });
        }
        let target = self.conf_dir.join(name);
        let mut notes = vec![
            replace(&self.bin_dir.join(PLUGIN), &read(program)?, 0o755)?,
            // Nobody but the runtime has to read it.
            replace(&target, &list, 0o600)?,
        ];
        let wanted = plugins.iter().map(|plugin| self.bin_dir.join(plugin));
        notes.extend(wanted.filter(|path| !path.exists()).map(Note::Missing));
        notes.extend(self.first_list()?.filter(|first| *first != target).map(Note::Hidden));
        Ok(notes)
    }

    /// The file that runtimes take: the first by name of those they read.
    fn first_list(&self) -> Result<Option<PathBuf>, InstallError> {
        let failed = |source| InstallError::File { action: "list", path: self.conf_dir.clone(), source };
        let entries = fs::read_dir(&self.conf_dir).map_err(failed)?;
        let paths = entries.flatten().map(|entry| entry.path());
        let others = ["conf", "json"].map(OsString::from);
        let counts = |path: &PathBuf| {
            is_read_by_runtimes(path) || others.iter().any(|kind| path.extension() == Some(kind.as_os_str()))
        };
        Ok(paths.filter(counts).min())
    }
}

fn is_read_by_runtimes(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "conflist")
}

/// The names of the plugins of a list, or what is wrong with it.
fn plugins(list: &[u8]) -> Result<Vec<String>, &'static str> {
    let list: Value = serde_json::from_slice(list).map_err(|_| "it is not JSON")?;
    for key in ["cniVersion", "name"] {
        if list.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(match key {
                "name" => "name: a text that is not empty is needed",
                _ => "cniVersion: a text that is not empty is needed",
            });
        }
    }
    let plugins = list.get("plugins").and_then(Value::as_array).ok_or("plugins: a list is needed")?;
    let named = |plugin: &Value| plugin.get("type").and_then(Value::as_str).map(str::to_owned);
    let names: Option<Vec<String>> = plugins.iter().map(named).collect();
    let names = names.ok_or("plugins: each needs a type")?;
    // Others may wrap what ours makes, and need its result.
    if names.first().map(String::as_str) != Some(PLUGIN) {
        return Err("plugins: the first must be of the type cairn-cni");
    }
    if names.iter().any(|name| name.contains('/')) {
        return Err("plugins: a type is a file's name, without a directory");
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>, InstallError> {
    fs::read(path).map_err(|source| InstallError::File { action: "read", path: path.to_owned(), source })
}

/// Puts a file in the place of whatever is there, in one step.
fn replace(target: &Path, contents: &[u8], mode: u32) -> Result<Note, InstallError> {
    let same = fs::read(target).is_ok_and(|found| found == contents)
        && fs::metadata(target).is_ok_and(|found| found.permissions().mode() & 0o7777 == mode);
    if same {
        return Ok(Note::Unchanged(target.to_owned()));
    }
    let failed = |source| InstallError::File { action: "write", path: target.to_owned(), source };
    let directory = target.parent().unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // A name that no runtime reads, and always the same: what a crash left is overwritten.
    let unfinished = directory.join(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
        file.write_all(contents)?;
        // Whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        // The name must not come onto the disk before what it names.
        file.sync_all()?;
        fs::rename(&unfinished, target)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(failed)?;
    Ok(Note::Installed(target.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"cniVersion": "1.1.0", "name": "cairn", "plugins": [{"type": "cairn-cni"}, {"type": "portmap"}]}"#;

    struct Node {
        directory: tempfile::TempDir,
        install: Install,
    }

    impl Node {
        fn new(list: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let of = |name: &str| directory.path().join(name);
            fs::write(of("10-cairn.conflist"), list).unwrap();
            fs::write(of("program"), "version 1").unwrap();
            let install =
                Install { conflist: of("10-cairn.conflist"), bin_dir: of("bin"), conf_dir: of("net.d") };
            Self { directory, install }
        }

        fn run(&self) -> Result<Vec<String>, String> {
            let notes = self
                .install
                .run(&self.directory.path().join("program"))
                .map_err(|error| error.to_string())?;
            let root = format!("{}/", self.directory.path().display());
            Ok(notes.iter().map(|note| note.to_string().replace(&root, "")).collect())
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.directory.path().join(name).parent().unwrap()).unwrap();
            fs::write(self.directory.path().join(name), text).unwrap();
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.directory.path().join(name)).unwrap()
        }

        fn mode(&self, name: &str) -> u32 {
            fs::metadata(self.directory.path().join(name)).unwrap().permissions().mode() & 0o7777
        }
    }

    #[test]
    fn a_node_gets_both_files_and_keeps_those_of_others() {
        let node = Node::new(LIST);
        node.write("bin/portmap", "another plugin");
        node.write("net.d/99-other.conf", "{}");
        assert_eq!(node.run().unwrap(), ["installed bin/cairn-cni", "installed net.d/10-cairn.conflist"]);
        assert_eq!((node.read("bin/cairn-cni").as_str(), node.mode("bin/cairn-cni")), ("version 1", 0o755));
        assert_eq!(
            (node.read("net.d/10-cairn.conflist").as_str(), node.mode("net.d/10-cairn.conflist")),
            (LIST, 0o600)
        );
        assert_eq!(node.read("bin/portmap"), "another plugin");
        assert_eq!(node.read("net.d/99-other.conf"), "{}");
    }

    #[test]
    fn another_version_replaces_the_program_and_the_same_one_leaves_it() {
        let node = Node::new(LIST);
        node.write("bin/portmap", "");
        node.run().unwrap();
        let old = File::open(node.directory.path().join("bin/cairn-cni")).unwrap();
        assert_eq!(
            node.run().unwrap(),
            ["bin/cairn-cni is the same already", "net.d/10-cairn.conflist is the same already"]
        );
        node.write("program", "version 2");
        // As a crash in between leaves it.
        node.write("bin/.cairn-cni.new", "half of a much longer version 3");
        assert_eq!(
            node.run().unwrap(),
            ["installed bin/cairn-cni", "net.d/10-cairn.conflist is the same already"]
        );
        assert_eq!(node.read("bin/cairn-cni"), "version 2");
        // Whoever runs the old one goes on doing so.
        assert_eq!(io::read_to_string(old).unwrap(), "version 1");
        let left: Vec<_> = fs::read_dir(node.directory.path().join("bin")).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn what_keeps_the_list_from_working_is_told() {
        let node = Node::new(LIST);
        node.write("net.d/05-other.conflist", "{}");
        node.write("net.d/00-notes.txt", "");
        assert_eq!(
            node.run().unwrap()[2..],
            [
                "warning: the list names a plugin that is not there: bin/portmap",
                "warning: the runtime takes net.d/05-other.conflist, which comes first",
            ]
        );
    }

    #[test]
    fn a_wrong_list_changes_nothing() {
        for (list, rule) in [
            ("{", "it is not JSON"),
            (r#"{"name": "cairn", "plugins": []}"#, "cniVersion: a text that is not empty is needed"),
            (
                r#"{"cniVersion": "1.1.0", "name": "", "plugins": []}"#,
                "name: a text that is not empty is needed",
            ),
            (r#"{"cniVersion": "1.1.0", "name": "cairn"}"#, "plugins: a list is needed"),
            (r#"{"cniVersion": "1.1.0", "name": "cairn", "plugins": [{}]}"#, "plugins: each needs a type"),
            (
                r#"{"cniVersion": "1.1.0", "name": "cairn", "plugins": [{"type": "portmap"}]}"#,
                "plugins: the first must be of the type cairn-cni",
            ),
            (
                r#"{"cniVersion": "1.1.0", "name": "c", "plugins": [{"type": "cairn-cni"}, {"type": "../x"}]}"#,
                "plugins: a type is a file's name, without a directory",
            ),
        ] {
            let node = Node::new(list);
            assert!(node.run().unwrap_err().ends_with(&format!("10-cairn.conflist: {rule}")), "{list}");
            assert!(!node.directory.path().join("bin").exists());
        }
    }

    #[test]
    fn the_command_line_is_read() {
        let parse = |line: &str| Install::parse(line.split_whitespace().map(OsString::from));
        let install = parse("--conflist /c/10-cairn.conflist --bin-dir=/host/bin").unwrap();
        assert_eq!(install.conflist, Path::new("/c/10-cairn.conflist"));
        assert_eq!((install.bin_dir, install.conf_dir), ("/host/bin".into(), "/etc/cni/net.d".into()));
        for (line, fault) in [
            ("", "--conflist is not given"),
            ("--conflist", "--conflist has no value"),
            ("--conflist= --bin-dir /x", "--conflist has no value"),
            ("--token x", "\"--token\" is not known"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.starts_with(fault) && error.ends_with(USAGE), "{line}: {error}");
        }
    }
}
