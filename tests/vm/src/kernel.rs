//! The guest's kernel: Debian's package, downloaded and unpacked into the user's cache, never installed.

mod image;
mod modules;
mod package;

use std::fs::{File, create_dir_all};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Holds the version that is in use; removing it, or all of the directory, fetches a newer one.
const CURRENT: &str = "current";

/// A kernel that is ready to boot.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` in the guest.
    pub(crate) version: String,
    /// Where all of it is.
    pub(crate) directory: PathBuf,
}

impl Kernel {
    /// The kernel itself, an ELF file with a PVH entry.
    pub(crate) fn image(&self) -> PathBuf {
        self.directory.join("vmlinux")
    }

    /// What is to be `/lib/modules` in the guest.
    pub(crate) fn modules(&self) -> PathBuf {
        package::base(&self.directory).join("lib/modules")
    }

    /// The modules that the guest needs to see the host's files, uncompressed, in the order to load them.
    pub(crate) fn early_modules(&self) -> Result<Vec<PathBuf>> {
        modules::listed(&self.directory.join(modules::EARLY))
    }
}

/// Returns the kernel in the cache, fetched first if there is none.
pub(crate) fn prepare() -> Result<Kernel> {
    ensure!(cfg!(target_arch = "x86_64"), "the virtual machine needs an x86-64 host");
    let cache = cache()?;
    create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let lock = File::create(cache.join("lock")).context("cannot lock the cache")?;
    lock.lock().context("cannot lock the cache")?;
    if let Some(kernel) = current(&cache) {
        return Ok(kernel);
    }
    eprintln!("cairn-vm: fetching a kernel into {}", cache.display());
    let fresh = tempfile::Builder::new().prefix("unfinished-").tempdir_in(&cache)?;
    let version = package::fetch(fresh.path())?;
    image::extract(fresh.path(), &version)?;
    modules::prepare(fresh.path(), &version)?;
    let directory = cache.join(&version);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::rename(fresh.keep(), &directory)?;
    std::fs::write(cache.join(CURRENT), format!("{version}\n"))?;
    Ok(Kernel { version, directory })
}

fn current(cache: &Path) -> Option<Kernel> {
    let version = std::fs::read_to_string(cache.join(CURRENT)).ok()?.trim().to_owned();
    let kernel = Kernel { directory: cache.join(&version), version };
    (kernel.image().is_file() && kernel.modules().is_dir()).then_some(kernel)
}

/// `$XDG_CACHE_HOME/cairn/vm`, or below `~/.cache`.
fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(base.join("cairn/vm"))
}
