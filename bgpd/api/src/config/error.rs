use std::fmt;

use thiserror::Error;

/// Why a document was refused: one line for each fault, as compilers print them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// What the document is called: a file's path, or `Apply`.
    pub source_name: String,
    /// The faults, in the document's order; never empty.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line, counted from 1; 0 if there is no text to point into.
    pub line: usize,
    /// Column, counted from 1; 0 if there is no text to point into.
    pub column: usize,
    /// The field: `neighbors[2].timers.holdTime`. Empty for the document as a whole.
    pub path: String,
    /// The value as written; empty where the message quotes it already.
    pub value: String,
    /// The rule that it breaks, or the parser's message.
    pub rule: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.source_name)?;
            if fault.line > 0 {
                write!(f, ":{}:{}", fault.line, fault.column)?;
            }
            write!(f, ": {fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        if !self.value.is_empty() {
            write!(f, "{}: ", self.value)?;
        }
        f.write_str(&self.rule)
    }
}
