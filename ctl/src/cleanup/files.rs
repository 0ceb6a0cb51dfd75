//! Files and directories.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::product::Product;
use super::{Leftover, What};
use crate::Error;

/// What is there below a root.
pub(super) fn find(root: &Path) -> Vec<Leftover> {
    let all =
        Product::ALL.into_iter().flat_map(|product| product.files().iter().map(move |file| (product, file)));
    let there = all
        .map(|(product, file)| (product, root.join(file)))
        .filter(|(_, path)| path.symlink_metadata().is_ok());
    there.map(|(product, path)| leftover(product, path)).collect()
}

fn leftover(product: Product, path: PathBuf) -> Leftover {
    let kind = if path.is_dir() { "directory" } else { "file" };
    Leftover { product, kind, name: path.display().to_string(), what: What::File(path) }
}

/// Removes a file, or a directory with all that is in it.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let is_directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_directory { remove_directory(path) } else { std::fs::remove_file(path) };
    removed.map_err(|source| Error::File { path: path.display().to_string(), source })
}

/// One that a file system of its own is mounted on cannot go while it is: it is left empty.
fn remove_directory(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy && is_empty(path) => Ok(()),
        removed => removed,
    }
}

fn is_empty(path: &Path) -> bool {
    path.read_dir().is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::{Product, find, remove};

    #[test]
    fn files_are_found_and_go_and_others_stay() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let configuration = root.path().join("etc/cni/net.d");
        std::fs::create_dir_all(&configuration)?;
        std::fs::create_dir_all(root.path().join("var/lib/calico/nested"))?;
        std::fs::write(configuration.join("10-calico.conflist"), "{}")?;
        std::fs::write(configuration.join("87-podman.conflist"), "{}")?;
        let found = find(root.path());
        assert!(found.iter().all(|leftover| leftover.product == Product::Calico));
        assert_eq!(found.iter().map(|leftover| leftover.kind).collect::<Vec<_>>(), ["file", "directory"]);
        for leftover in found {
            remove(leftover.name.as_ref())?;
        }
        assert!(find(root.path()).is_empty());
        assert!(configuration.join("87-podman.conflist").exists());
        Ok(())
    }
}
