use std::fmt;

use serde::{Deserialize, Serialize};

/// A password. Never shown by `Debug`; serialised in clear, because a document must carry it to the daemon.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What a document shows in place of a password.
    pub const HIDDEN: &str = "<hidden>";

    /// Wraps a password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The same field with the password replaced by [`Secret::HIDDEN`].
    #[must_use]
    pub fn hidden() -> Self {
        Self(Self::HIDDEN.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::HIDDEN)
    }
}
