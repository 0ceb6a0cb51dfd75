//! What can go wrong between Cairn and the kernel.

use std::fmt;

use nix::errno::Errno;
use thiserror::Error;

/// A request that the kernel did not carry out, or an answer that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The kernel looked at the request and said no.
    #[error("cannot {operation} {object}: {refusal}")]
    Refused {
        /// What was asked: `create`, `replace`, `delete`, `list`, `open` ...
        operation: &'static str,
        /// The object, as it names itself.
        object: String,
        /// The kernel's answer.
        refusal: Refusal,
    },
    /// Bytes from the kernel that do not follow their format.
    #[error("cannot read {what}: {rule}")]
    Malformed {
        /// The message or attribute.
        what: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A value that does not fit the kernel's format, refused before it is sent.
    #[error("{field} {value:?} is refused: {rule}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl Error {
    /// A refusal with its context.
    pub fn refused(operation: &'static str, object: impl fmt::Display, refusal: impl Into<Refusal>) -> Self {
        Self::Refused { operation, object: object.to_string(), refusal: refusal.into() }
    }

    /// The kernel's error number; `None` where the kernel was not the one to refuse.
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.errno),
            Self::Malformed { .. } | Self::Invalid { .. } => None,
        }
    }

    /// The object, its interface or its namespace is not there.
    pub fn is_not_found(&self) -> bool {
        self.errno().is_some_and(is_absence)
    }

    /// An object with the same key is there already.
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }

    /// Notifications or answers were lost: what is known of the kernel must be read anew.
    pub fn is_overrun(&self) -> bool {
        self.errno() == Some(Errno::ENOBUFS)
    }
}

/// The error numbers by which the kernel says "there is no such thing".
pub(crate) const fn is_absence(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ESRCH | Errno::ENODEV | Errno::EADDRNOTAVAIL)
}

/// The kernel's answer to a refused request: an error number and, from most subsystems, a sentence (the
/// "extended ack").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The sentence, where the kernel gave one.
    pub message: Option<String>,
}

impl Refusal {
    /// A lookup found no way to the destination.
    pub(crate) const fn is_no_route(&self) -> bool {
        matches!(self.errno, Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL)
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, message: None }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or(Errno::EIO, Errno::from_raw).into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.errno.desc(), self.errno)?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_object_number_and_sentence() {
        let refusal =
            Refusal { errno: Errno::EINVAL, message: Some("Nexthop has invalid gateway".to_owned()) };
        let error = Error::refused("create", "route 10.0.0.0/26 table 254", refusal);
        assert_eq!(
            error.to_string(),
            "cannot create route 10.0.0.0/26 table 254: Invalid argument (EINVAL): Nexthop has invalid gateway"
        );
        assert!(!error.is_not_found());
    }
}
