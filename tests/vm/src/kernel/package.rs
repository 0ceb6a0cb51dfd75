//! The kernel's package: found and downloaded with apt, unpacked without what a pod network never touches.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Packages that depend on the kernel's newest version, best first: in Debian 12 the first is in its security archive, in later
/// releases the second is as new.
const NAMES: [&str; 2] = ["linux-image-6.12-amd64", "linux-image-amd64"];

/// Parts of the package that would only fill the cache.
const LEFT_OUT: [&str; 16] = [
    "*/sound/*",
    "*/share/*",
    "*/drivers/gpu/*",
    "*/drivers/media/*",
    "*/drivers/infiniband/*",
    "*/drivers/scsi/*",
    "*/drivers/usb/*",
    "*/drivers/staging/*",
    "*/drivers/iio/*",
    "*/drivers/hwmon/*",
    "*/drivers/input/*",
    "*/drivers/ata/*",
    "*/drivers/md/*",
    "*/drivers/mtd/*",
    "*/drivers/net/wireless/*",
    "*/drivers/net/ethernet/*",
];

/// Unpacks the newest kernel below `directory` and returns its version.
pub(super) fn fetch(directory: &Path) -> Result<String> {
    let archive = match find_and_download(directory) {
        Ok(archive) => archive,
        // The lists are missing, or name a version that is no longer there.
        Err(_) => {
            apt(&["update", "-qq"], directory)?;
            find_and_download(directory)?
        }
    };
    unpack(&archive, directory)?;
    std::fs::remove_file(&archive)?;
    let images = std::fs::read_dir(directory.join("boot")).context("the package has no /boot")?;
    let names = images.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let version = names.filter_map(|name| Some(name.strip_prefix("vmlinuz-")?.to_owned())).next();
    version.context("the package has no /boot/vmlinuz")
}

/// What in the package corresponds to `/usr`, where `lib/modules` may be.
pub(super) fn base(directory: &Path) -> PathBuf {
    let merged = directory.join("usr");
    if merged.join("lib/modules").is_dir() { merged } else { directory.to_owned() }
}

fn find_and_download(directory: &Path) -> Result<PathBuf> {
    let package = NAMES.iter().find_map(|name| newest(name)).with_context(|| {
        format!("apt knows no kernel package: none of {} is in its lists", NAMES.join(", "))
    })?;
    eprintln!("cairn-vm: downloading {package}");
    apt(&["download", "-qq", &package], directory)?;
    let mut files = std::fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get download {package} left no package"))
}

/// The package that a package of packages stands for.
fn newest(name: &str) -> Option<String> {
    let output = Command::new("apt-cache").args(["depends", name]).stderr(Stdio::null()).output().ok()?;
    depends(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `  Depends: linux-image-6.12.0-1-amd64`.
fn depends(text: &str) -> Option<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

fn apt(arguments: &[&str], directory: &Path) -> Result<()> {
    // The download goes to a directory that apt's own user cannot write to.
    let status = Command::new("apt-get")
        .args(["-o", "APT::Sandbox::User=root"])
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::null())
        .status()
        .context("cannot start apt-get: the kernel comes from Debian's packages")?;
    ensure!(status.success(), "`apt-get {}` failed: {status}", arguments.join(" "));
    Ok(())
}

fn unpack(archive: &Path, directory: &Path) -> Result<()> {
    let mut reader = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let stream = reader.stdout.take().context("standard output is piped")?;
    let status = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--wildcards"])
        .args(LEFT_OUT.map(|pattern| format!("--exclude={pattern}")))
        .arg("--directory")
        .arg(directory)
        .stdin(stream)
        .status()
        .context("cannot start tar")?;
    if !(status.success() && reader.wait()?.success()) {
        bail!("cannot unpack {}", archive.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::depends;

    #[test]
    fn the_kernel_is_one_of_what_a_package_depends_on() {
        let text = "linux-image-6.12-amd64\n  Depends: linux-base\n  Depends: linux-image-6.12.9-1-amd64\n";
        assert_eq!(depends(text).as_deref(), Some("linux-image-6.12.9-1-amd64"));
        assert_eq!(depends("linux-image-amd64\n"), None);
    }
}
