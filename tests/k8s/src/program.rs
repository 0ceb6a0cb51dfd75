//! Programs of Kubernetes and around it, built from Go modules: no distribution is trusted to have the same ones.
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
    /// What makes pods of Deployments and DaemonSets, endpoints of Services, accounts of namespaces.
    KubeControllerManager,
    /// What gives pods to nodes.
    KubeScheduler,
    /// A node's agent, which has the container runtime run pods.
    Kubelet,
    /// What leads the addresses of Services to pods.
    KubeProxy,
    /// The command line.
    Kubectl,
    /// The cluster's DNS server.
    Coredns,
    /// Servers and clients for tests.
    Agnhost,
    /// What installs charts.
    Helm,
}

/// The release of Kubernetes: `modules/kubernetes/go.mod` says the same.
pub const KUBERNETES: &str = "1.34.4";

/// The directory below `modules` that has a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Module {
    Etcd,
    Kubernetes,
    Coredns,
    Helm,
}

impl Module {
    const ALL: [Self; 4] = [Self::Etcd, Self::Kubernetes, Self::Coredns, Self::Helm];

    fn directory(self) -> PathBuf {
        let name = match self {
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
            Self::Coredns => "coredns",
            Self::Helm => "helm",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("modules").join(name)
    }

    /// A number that changes with every byte of what is built.
    fn version(self) -> Result<u64> {
        let directory = self.directory();
        let mut hasher = DefaultHasher::new();
        for file in ["go.mod", "go.sum"] {
            fs::read(directory.join(file))
                .with_context(|| format!("cannot read {file} of {}", directory.display()))?
                .hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    /// Without symbols. Kubernetes must be told its version: clients refuse to speak to none.
    fn link_flags(self) -> String {
        let mut flags = "-s -w".to_owned();
        if self == Self::Kubernetes {
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

    /// Builds some of its programs into a directory that is there, in one run: most of what they are made of is the same.
    fn build(self, programs: &[Program], output: &Path, cache: &Path) -> Result<()> {
        let mut go = Command::new(gotools::compiler()?);
        // It may be another Go than the one that the variable speaks of.
        go.env_remove("GOROOT").env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
        // Apart from the user's own, which is trimmed by age.
        go.env("GOCACHE", cache.join("go-cache")).env("GOFLAGS", "-mod=readonly");
        go.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &self.link_flags(), "-o"]).arg(output);
        go.args(programs.iter().map(|program| program.package())).current_dir(self.directory());
        let status = go.status().context("cannot run go")?;
        ensure!(status.success(), "`go build` of {programs:?} failed");
        Ok(())
    }
}

impl Program {
    /// What a whole cluster runs.
    pub const OF_A_CLUSTER: [Self; 9] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Kubectl,
        Self::Coredns,
        Self::Agnhost,
    ];

    /// All of them.
    pub fn all() -> Vec<Self> {
        Self::OF_A_CLUSTER.into_iter().chain([Self::Helm]).collect()
    }

    /// Its file name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Kubectl => "kubectl",
            Self::Coredns => "coredns",
            Self::Agnhost => "agnhost",
            Self::Helm => "helm",
        }
    }

    const fn module(self) -> Module {
        match self {
            Self::Etcd => Module::Etcd,
            Self::Coredns => Module::Coredns,
            Self::Helm => Module::Helm,
            Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubelet
            | Self::KubeProxy
            | Self::Kubectl
            | Self::Agnhost => Module::Kubernetes,
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Coredns => "github.com/coredns/coredns",
            Self::Agnhost => "k8s.io/kubernetes/test/images/agnhost",
            Self::Helm => "helm.sh/helm/v4/cmd/helm",
        }
    }

    /// What Go calls the file: the last word of the package that is no version.
    fn built_name(self) -> &'static str {
        let mut words = self.package().rsplit('/');
        words.find(|word| !word.starts_with('v')).unwrap_or(self.name())
    }

    /// The path of the program; built if this version of it is not there yet.
    ///
    /// # Errors
    /// There is no Go, or what it says.
    pub fn path(self) -> Result<PathBuf> {
        Self::prepare(&[self])?;
        self.target(&cache()?)
    }

    fn target(self, cache: &Path) -> Result<PathBuf> {
        Ok(cache.join(format!("bin/{}-{:016x}", self.name(), self.module().version()?)))
    }

    /// Builds those of some programs whose version is not there yet.
    ///
    /// # Errors
    /// There is no Go, or what it says.
    pub fn prepare(programs: &[Self]) -> Result<()> {
        let cache = cache()?;
        // One process builds, others wait; the lock ends with the process.
        let lock = File::create(cache.join("lock"))?;
        lock.lock().context("cannot lock the cache")?;
        remove_unfinished(&cache);
        for module in Module::ALL {
            let mut missing = Vec::new();
            for program in programs.iter().filter(|program| program.module() == module) {
                if !program.target(&cache)?.exists() {
                    missing.push(*program);
                }
            }
            if missing.is_empty() {
                continue;
            }
            let names: Vec<&str> = missing.iter().map(|program| program.name()).collect();
            eprintln!(
                "building {} into {}: the first time takes minutes ...",
                names.join(", "),
                cache.display()
            );
            // Of this run alone: the compiler of one that was killed may still write into its own.
            let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&cache)?;
            module.build(&missing, unfinished.path(), &cache)?;
            for program in missing {
                fs::rename(unfinished.path().join(program.built_name()), program.target(&cache)?)?;
            }
        }
        Ok(())
    }
}

/// Begins the names of directories in the cache that are being built into.
const UNFINISHED: &str = "unfinished";

/// Removes what runs that were killed left in the cache. Whoever calls has its lock, so no other run needs it.
fn remove_unfinished(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // What an orphaned compiler still writes to goes the next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// `$XDG_CACHE_HOME/cairn/k8s`, or below `~/.cache`.
fn cache() -> Result<PathBuf> {
    let cache = gotools::user_cache()?.join("k8s");
    fs::create_dir_all(cache.join("bin")).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let module = Module::Kubernetes.directory().join("go.mod");
        let text = fs::read_to_string(module).unwrap();
        assert!(text.contains(&format!("k8s.io/kubernetes v{KUBERNETES}\n")));
        // Every staging module is replaced by the release that goes with it: 1.x.y is v0.x.y.
        let staging = KUBERNETES.replacen('1', "0", 1);
        let replaced: Vec<&str> = text.lines().filter(|line| line.contains(" => ")).collect();
        assert!(replaced.len() > 30 && replaced.iter().all(|line| line.ends_with(&format!(" v{staging}"))));
        assert!(Module::Kubernetes.link_flags().contains("version.gitVersion=v1."));
    }

    #[test]
    fn leftovers_of_killed_runs_go_and_programs_stay() {
        let cache = tempfile::tempdir().unwrap();
        for directory in ["bin", "unfinished", "unfinishedAbC123"] {
            fs::create_dir(cache.path().join(directory)).unwrap();
            fs::write(cache.path().join(directory).join("etcd"), "").unwrap();
        }
        remove_unfinished(cache.path());
        assert!(cache.path().join("bin/etcd").exists());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_are_found_under_the_name_that_go_gives_them() {
        assert_eq!(Program::Etcd.built_name(), "server");
        for program in Program::all().into_iter().filter(|program| *program != Program::Etcd) {
            assert_eq!(program.built_name(), program.name());
        }
    }
}
