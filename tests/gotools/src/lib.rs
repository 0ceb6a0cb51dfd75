//! Programs and files of others that come as Go modules: what `go.mod` beside this package names, built into the user's cache, and
//! containerlab's schema.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};

/// What the newest module asks for: `tests/k8s/modules/helm`.
const GO_MINIMUM: (u32, u32) = (1, 26);
/// Fetched as the module that it is, where the system's Go is older.
const GO_TOOLCHAIN: &str = "1.26.0";

/// A module that is only read, not built.
struct Module {
    path: &'static str,
    version: &'static str,
    /// As go.sum has it.
    sum: &'static str,
}

/// The newest release that Go's module proxy has.
const CONTAINERLAB: Module = Module {
    path: "github.com/srl-labs/containerlab",
    version: "v0.79.0",
    sum: "h1:XWLKsjQV3rn1KXViKDIO1XZg6JyqaQxQfTnEabjmxTI=",
};

/// The directory with `cnitool`, `ptp`, `host-local`, `portmap`, `bandwidth`, `loopback` and `jv`; built if this version of
/// them is not there yet.
///
/// # Errors
/// There is no Go, or what it says.
pub fn directory() -> Result<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = cache()?;
    let target = cache.join(format!("gotools-{:016x}", version(module)?));
    // One process builds, others wait; the lock ends with the process.
    let lock = File::create(cache.join("gotools.lock"))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    if !target.exists() {
        eprintln!(
            "building cnitool, the plugins of containernetworking and jv into {} ...",
            target.display()
        );
        let unfinished = target.with_extension("new");
        build(module, &unfinished, &cache)?;
        fs::rename(&unfinished, &target)?;
    }
    Ok(target)
}

/// containerlab's own JSON schema of topology files; fetched by the first call.
///
/// # Errors
/// There is no Go, what it says, or the module is not the one that it was.
pub fn containerlab_schema() -> Result<PathBuf> {
    let schema = download(&go(&cache()?)?, &CONTAINERLAB)?.join("schemas/clab.schema.json");
    ensure!(schema.is_file(), "containerlab {} has no {}", CONTAINERLAB.version, schema.display());
    Ok(schema)
}

/// The directory of a module's files, in Go's own cache.
fn download(go: &Path, module: &Module) -> Result<PathBuf> {
    let name = format!("{}@{}", module.path, module.version);
    // The sum is known here, so that no database need be asked.
    let output = Command::new(go)
        .args(["mod", "download", "-json", &name])
        .env_remove("GOROOT")
        .env("GONOSUMDB", module.path)
        .env("GOFLAGS", "-mod=mod")
        .env("GOTOOLCHAIN", "local")
        .current_dir(cache()?)
        .output()
        .context("cannot run go")?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("`go mod download {name}` failed: {}", String::from_utf8_lossy(&output.stderr))
    })?;
    let directory = answer["Dir"]
        .as_str()
        .with_context(|| format!("`go mod download {name}` failed: {}", answer["Error"]))?;
    ensure!(answer["Sum"] == module.sum, "{name} has the sum {}, not {}", answer["Sum"], module.sum);
    Ok(directory.into())
}

/// A Go that is new enough for every module of the tests.
///
/// # Errors
/// There is none, or what it says.
pub fn compiler() -> Result<PathBuf> {
    go(&cache()?)
}

/// `$XDG_CACHE_HOME/cairn`, or below `~/.cache`.
///
/// # Errors
/// Neither that variable nor `HOME` is set.
pub fn user_cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("cairn"))
}

/// The directory `bin` below it.
fn cache() -> Result<PathBuf> {
    let cache = user_cache()?.join("bin");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

fn version(module: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for file in ["go.mod", "go.sum"] {
        fs::read(module.join(file))
            .with_context(|| format!("cannot read {file} of {}", module.display()))?
            .hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn build(module: &Path, output: &Path, cache: &Path) -> Result<()> {
    fs::create_dir_all(output)?;
    let mut go = Command::new(go(cache)?);
    // It may be another Go than the one that the variable speaks of.
    go.env_remove("GOROOT");
    go.args(["build", "-trimpath", "-buildvcs=false", "-o"]).arg(output).arg("tool").current_dir(module);
    let status =
        go.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly").env("GOTOOLCHAIN", "local").status();
    ensure!(status.context("cannot run go")?.success(), "`go build` of {} failed", module.display());
    Ok(())
}

/// A Go that is new enough: the system's, or one that the system's fetches.
fn go(cache: &Path) -> Result<PathBuf> {
    let found = [PathBuf::from("go"), PathBuf::from("/usr/local/go/bin/go")];
    let Some((go, version)) = found.into_iter().find_map(|go| Some((go.clone(), go_version(&go)?))) else {
        bail!("there is no `go`: install Debian's golang-go, or a release of go.dev");
    };
    if version >= GO_MINIMUM { Ok(go) } else { fetch_go(&go, cache) }
}

/// `(1, 24)` of `go version go1.24.2 linux/amd64`.
fn go_version(go: &Path) -> Option<(u32, u32)> {
    let output = Command::new(go).arg("version").env("GOTOOLCHAIN", "local").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split_whitespace().nth(2)?.strip_prefix("go")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Go releases are modules too (`golang.org/toolchain`), checked against Go's checksum database like any other.
fn fetch_go(old: &Path, cache: &Path) -> Result<PathBuf> {
    let root = cache.join(format!("go-{GO_TOOLCHAIN}"));
    let go = root.join("bin/go");
    if go.exists() {
        return Ok(go);
    }
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no Go for {other} is known here: install one of at least {GO_MINIMUM:?}"),
    };
    let module = format!("golang.org/toolchain@v0.0.1-go{GO_TOOLCHAIN}.linux-{machine}");
    eprintln!("fetching {module}, as the system's Go is too old ...");
    let output = Command::new(old).args(["mod", "download", "-json", &module]).current_dir(cache).output()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`go mod download` failed: {}", String::from_utf8_lossy(&output.stderr)))?;
    let source =
        answer["Dir"].as_str().with_context(|| format!("`go mod download` failed: {}", answer["Error"]))?;
    let unfinished = root.with_extension("new");
    let copied = Command::new("cp").args(["-r", "--no-preserve=mode", source]).arg(&unfinished).status()?;
    ensure!(copied.success(), "cannot copy {source}");
    // Modules have no executable files.
    for programs in [format!("pkg/tool/linux_{machine}"), "bin".to_owned()] {
        for entry in fs::read_dir(unfinished.join(programs))? {
            fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
        }
    }
    fs::rename(&unfinished, &root)?;
    Ok(go)
}
