//! The container's namespace: opened here, for the runtime's path is good in the runtime's mount namespace.

use std::fs::File;
use std::io;

use felix_api::{Code, Refusal};

/// Opens `CNI_NETNS`.
pub(crate) fn open(path: &str) -> Result<File, Refusal> {
    let refuse = |code, why: &dyn std::fmt::Display| {
        Refusal::new(code, format!("CNI_NETNS: {path:?} is not a network namespace")).because(why)
    };
    // A namespace is a regular file; opening anything else, such as a FIFO, might wait for ever.
    match std::fs::metadata(path)
        .and_then(|found| if found.is_file() { File::open(path).map(Some) } else { Ok(None) })
    {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(refuse(Code::INVALID_ENVIRONMENT, &"not a file of the kind")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(refuse(Code::UNKNOWN_CONTAINER, &error)),
        Err(error) => Err(refuse(Code::IO, &error)),
    }
}
