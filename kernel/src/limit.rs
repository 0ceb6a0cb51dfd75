//! Limits of this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Error;

/// Raises the limit of open files to what the process may have at most, and gives that. The usual limit of 1,024 is for programs that
/// use `select`; a daemon with a socket or two for each session and each call reaches it.
///
/// # Errors
/// The kernel refuses, which it does not where the process does not ask for more than its hard limit.
pub fn raise_open_files() -> Result<u64, Error> {
    let refused = |errno| Error::refused("raise", "the limit of open files", errno);
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(refused)?;
    if now < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(refused)?;
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_hard_one_afterwards() {
        let most = raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (most, most));
        assert_eq!(raise_open_files().unwrap(), most);
    }
}
