//! Versions of the specification that are spoken here.

use std::fmt;

use felix_api::{Code, Refusal};

/// A version of the CNI specification; ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpecVersion {
    /// 0.3.1: ADD, DEL, VERSION.
    V0_3_1,
    /// 0.4.0: CHECK is new.
    V0_4_0,
    /// 1.0.0: addresses no longer carry their `version`.
    V1_0_0,
    /// 1.1.0: STATUS and GC are new, and an interface's `mtu`.
    V1_1_0,
}

impl SpecVersion {
    /// All, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// The newest.
    pub const LATEST: Self = Self::V1_1_0;

    /// The text in `cniVersion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version of a text. A configuration without `cniVersion` is one of 0.1.0, which is not spoken here.
    pub fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        let text = text.unwrap_or("0.1.0");
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            let short: String = text.chars().take(64).collect();
            Refusal::new(Code::INCOMPATIBLE_VERSION, format!("cniVersion {short:?} is not supported"))
                .because(format_args!("supported are {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
