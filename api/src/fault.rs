use std::fmt;

use cairn_net::Asn;

/// One violated rule: where, what was found, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field's path, such as `spec.blockSize` or `spec.exportV4[2].cidr`.
    pub path: String,
    /// The offending value as text, cut to 128 characters.
    pub value: String,
    /// The rule it breaks.
    pub rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.path, self.value, self.rule)
    }
}

/// All faults of one object, in the order of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Records a fault.
    pub fn add(&mut self, path: impl Into<String>, value: impl fmt::Display, rule: impl Into<String>) {
        let value: String = value.to_string().chars().take(128).collect();
        self.0.push(Fault { path: path.into(), value, rule: rule.into() });
    }

    /// Records a fault unless the rule holds.
    pub fn require(
        &mut self,
        holds: bool,
        path: impl Into<String>,
        value: impl fmt::Display,
        rule: impl Into<String>,
    ) {
        if !holds {
            self.add(path, value, rule);
        }
    }

    /// Records a fault if a list has more entries than it may have.
    pub fn at_most(&mut self, path: impl Into<String>, entries: usize, most: usize) {
        self.require(entries <= most, path, entries, format!("at most {most}"));
    }

    /// Records a fault if no speaker can have the AS number.
    pub fn speaker_asn(&mut self, path: impl Into<String>, asn: Option<Asn>) {
        if let Some(asn) = asn.filter(|asn| asn.is_reserved()) {
            self.add(path, asn, "1 to 4294967294, but not 23456 or 65535, which are reserved");
        }
    }

    /// True if nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// What was found, as a list.
    pub fn into_vec(self) -> Vec<Fault> {
        self.0
    }

    /// `Ok` if nothing was found.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
