//! How answers look.

use std::fmt::Display;
use std::io::{StdoutLock, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::Error;

/// How answers look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON object a line.
    Json,
}

/// Where answers go.
pub(crate) struct Output {
    pub(crate) format: Format,
    stdout: StdoutLock<'static>,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, stdout: std::io::stdout().lock() }
    }

    /// True for `-o json`.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A line of text.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), Error> {
        Ok(writeln!(self.stdout, "{line}")?)
    }

    /// An object as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.stdout, value)?;
        Ok(writeln!(self.stdout)?)
    }
}
