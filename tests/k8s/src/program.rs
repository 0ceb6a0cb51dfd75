//! Programs of Kubernetes and etcd, built from Go modules: no distribution is trusted to have the same ones.
//!
//! `modules/<name>/go.mod` names what is built, `go.sum` fixes every byte of it. Kubernetes is no module that others can depend on until its
//! staging modules are replaced by their published versions.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_gotools as gotools;

/// What can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
}

/// The release of Kubernetes: `modules/kubernetes/go.mod` says the same.
pub const KUBERNETES: &str = "1.34.4";

impl Program {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Etcd, Self::KubeApiserver];

    /// Its file name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
        }
    }

    const fn module(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kubernetes",
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
        }
    }

    /// The path of the program; built if this version of it is not there yet.
    ///
    /// # Errors
    /// There is no Go, or what it says.
    pub fn path(self) -> Result<PathBuf> {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("modules").join(self.module());
        let cache = cache()?;
        let target = cache.join(format!("bin/{}-{:016x}", self.name(), version(&module)?));
        // One process builds, others wait; the lock ends with the process.
        let lock = File::create(cache.join("lock"))?;
        lock.lock().context("cannot lock the cache")?;
        if !target.exists() {
            eprintln!("building {} into {}: the first time takes minutes ...", self.name(), target.display());
            let unfinished = target.with_extension("new");
            self.build(&module, &unfinished, &cache)?;
            fs::rename(&unfinished, &target)?;
        }
        Ok(target)
    }

    fn build(self, module: &Path, output: &Path, cache: &Path) -> Result<()> {
        let mut go = Command::new(gotools::compiler()?);
        // It may be another Go than the one that the variable speaks of.
        go.env_remove("GOROOT").env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
        // Apart from the user's own, which is trimmed by age.
        go.env("GOCACHE", cache.join("go-cache")).env("GOFLAGS", "-mod=readonly");
        go.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &self.link_flags(), "-o"]).arg(output);
        let status = go.arg(self.package()).current_dir(module).status().context("cannot run go")?;
        ensure!(status.success(), "`go build` of {} failed", self.package());
        Ok(())
    }

    /// Without symbols. Kubernetes must be told its version: clients refuse to speak to none.
    fn link_flags(self) -> String {
        let mut flags = "-s -w".to_owned();
        if self != Self::Etcd {
            let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
            for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
                for (name, value) in [
                    ("gitVersion", format!("v{KUBERNETES}")),
                    ("gitMajor", "1".to_owned()),
                    ("gitMinor", minor.to_owned()),
                    ("gitTreeState", "clean".to_owned()),
                ] {
                    flags.push_str(&format!(" -X {package}.{name}={value}"));
                }
            }
        }
        flags
    }
}

/// `$XDG_CACHE_HOME/cairn/k8s`, or below `~/.cache`.
fn cache() -> Result<PathBuf> {
    let cache = gotools::user_cache()?.join("k8s");
    fs::create_dir_all(cache.join("bin")).with_context(|| format!("cannot make {}", cache.display()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("modules/kubernetes/go.mod");
        let text = fs::read_to_string(module).unwrap();
        assert!(text.contains(&format!("k8s.io/kubernetes v{KUBERNETES}\n")));
        // Every staging module is replaced by the release that goes with it: 1.x.y is v0.x.y.
        let staging = KUBERNETES.replacen('1', "0", 1);
        let replaced: Vec<&str> = text.lines().filter(|line| line.contains(" => ")).collect();
        assert!(replaced.len() > 30 && replaced.iter().all(|line| line.ends_with(&format!(" v{staging}"))));
        assert!(Program::KubeApiserver.link_flags().contains("version.gitVersion=v1."));
    }
}
