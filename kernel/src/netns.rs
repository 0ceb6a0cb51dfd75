//! Network namespaces.
//!
//! Spec: network_namespaces(7); named namespaces are files in `/run/netns`, as iproute2 makes them.
//! Invariant: the namespace of the calling thread never changes: whoever enters one does so on a thread of its own,
//! which ends with the work.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};

use crate::Error;
use crate::error::Refusal;

/// Where named namespaces are found.
pub const DIRECTORY: &str = "/run/netns";

/// `NSFS_MAGIC`: what a file of a namespace lives on.
const NSFS: FsType = FsType(0x6e73_6673);

/// An open network namespace: it lives at least as long as this handle.
#[derive(Debug)]
pub struct Netns {
    file: File,
    path: PathBuf,
}

/// What makes two handles the same namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsId {
    /// The device of the file.
    pub dev: u64,
    /// Its inode.
    pub inode: u64,
}

impl Netns {
    /// The caller's namespace.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Opens the file of a namespace, such as `/run/netns/blue` or `/proc/7/ns/net`.
    ///
    /// Errors: `ENOENT` if there is no file; `EINVAL` if the file is not a namespace (a namespace that was deleted
    /// leaves an empty file behind at times).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refused =
            |refusal: Refusal| Error::refused("open", format_args!("netns {}", path.display()), refusal);
        let file = File::open(path).map_err(|error| refused(error.into()))?;
        let filesystem = fstatfs(&file).map_err(|errno| refused(errno.into()))?;
        if filesystem.filesystem_type() != NSFS {
            let message = Some("the file is not a namespace".to_owned());
            return Err(refused(Refusal { errno: Errno::EINVAL, message }));
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Opens a named namespace.
    pub fn named(name: &str) -> Result<Self, Error> {
        Self::open(&named_path(name)?)
    }

    /// Creates a named namespace. Errors: `EEXIST` if the name is taken.
    pub fn create(name: &str) -> Result<Self, Error> {
        let path = named_path(name)?;
        let refused = |refusal: Refusal| Error::refused("create", format_args!("netns {name}"), refusal);
        share_directory().map_err(&refused)?;
        File::create_new(&path).map_err(|error| refused(error.into()))?;
        let made = on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let source = Some("/proc/thread-self/ns/net");
            mount(source, &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        });
        if let Err(errno) = made {
            let _ = fs::remove_file(&path);
            return Err(refused(errno.into()));
        }
        Self::open(&path)
    }

    /// Removes the name; the namespace goes when nothing uses it any more. A name that is not there is no error.
    pub fn delete(name: &str) -> Result<(), Error> {
        let path = named_path(name)?;
        let refused = |refusal: Refusal| Error::refused("delete", format_args!("netns {name}"), refusal);
        match umount2(&path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(refused(errno.into())),
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(refused(error.into())),
            _ => Ok(()),
        }
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The identity, by which two handles can be compared.
    pub fn id(&self) -> Result<NetnsId, Error> {
        let stat = fstat(&self.file)
            .map_err(|errno| Error::refused("stat", format_args!("netns {}", self.path.display()), errno))?;
        Ok(NetnsId { dev: stat.st_dev, inode: stat.st_ino })
    }

    /// Runs a closure inside, on a thread of its own, and waits for it. Costs about 30 microseconds.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_a_thread(|| {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })
        .map_err(|errno| Error::refused("enter", format_args!("netns {}", self.path.display()), errno))
    }
}

impl Netns {
    /// Runs a closure inside, on this thread, which then returns to `home`, where it came from: two system calls and no thread.
    ///
    /// A thread that cannot return ends the process: whatever it did next would happen in somebody else's namespace.
    pub fn visit<T>(&self, home: &Self, work: impl FnOnce() -> T) -> Result<T, Error> {
        struct Return<'a>(&'a Netns);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                if let Err(errno) = setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET) {
                    tracing::error!(%errno, "a thread cannot leave a pod's network namespace: the process ends");
                    std::process::abort();
                }
            }
        }
        setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::refused("enter", format_args!("netns {}", self.path.display()), errno))?;
        let _return = Return(home);
        Ok(work())
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T, Errno> + Send) -> Result<T, Errno> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The path of a name. Errors: a name that would leave the directory.
fn named_path(name: &str) -> Result<PathBuf, Error> {
    if name.is_empty() || name.len() > 255 || name.contains(['/', '\0']) || name == "." || name == ".." {
        let rule = "1 to 255 bytes without a slash, and neither . nor ..";
        return Err(Error::Invalid { field: "netns name", value: name.to_owned(), rule });
    }
    Ok(Path::new(DIRECTORY).join(name))
}

/// Makes the directory a shared mount, so that removing a name is seen in every mount namespace.
fn share_directory() -> Result<(), Refusal> {
    fs::create_dir_all(DIRECTORY)?;
    let share =
        || mount(None::<&str>, DIRECTORY, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    if share() == Err(Errno::EINVAL) {
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(DIRECTORY), DIRECTORY, None::<&str>, bind, None::<&str>)?;
        share()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "a\0b"] {
            assert!(matches!(Netns::named(bad), Err(Error::Invalid { .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_current_namespace_is_itself_and_a_plain_file_is_none() {
        let current = Netns::current().unwrap();
        assert_eq!(current.id().unwrap(), Netns::current().unwrap().id().unwrap());
        let error = Netns::open(Path::new("/proc/self/status")).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EINVAL));
        assert!(Netns::open(Path::new("/nonexistent/netns")).unwrap_err().is_not_found());
    }
}
