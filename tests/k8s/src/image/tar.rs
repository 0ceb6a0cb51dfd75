//! Tar files (POSIX.1-1988, ustar), as far as images need them: directories and files of root, without times.

use std::io::Write;

use anyhow::{Context, Result, ensure};

/// Everything in the file is padded to this many octets.
const BLOCK: usize = 512;

/// The longest name without a prefix.
const LONGEST_NAME: usize = 100;

/// A tar file while it is written.
pub(super) struct Archive<W>(W);

impl<W: Write> Archive<W> {
    pub(super) fn new(output: W) -> Self {
        Self(output)
    }

    /// Adds a directory; those above it must be there.
    pub(super) fn directory(&mut self, name: &str, mode: u32) -> Result<()> {
        let header = header(&format!("{name}/"), mode, 0, b'5')?;
        Ok(self.0.write_all(&header)?)
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.0.write_all(&header(name, mode, contents.len(), b'0')?)?;
        self.0.write_all(contents)?;
        let rest = contents.len() % BLOCK;
        if rest > 0 {
            self.0.write_all(&[0; BLOCK][rest..])?;
        }
        Ok(())
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> Result<W> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        Ok(self.0)
    }
}

fn header(name: &str, mode: u32, size: usize, kind: u8) -> Result<[u8; BLOCK]> {
    ensure!(name.len() <= LONGEST_NAME, "name {name:?}: at most {LONGEST_NAME} octets");
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| -> Result<()> {
        block.get_mut(at..at + text.len()).context("a field lies in the header")?.copy_from_slice(text);
        Ok(())
    };
    put(0, name.as_bytes())?;
    put(100, format!("{mode:07o}").as_bytes())?;
    // Owner and group: root.
    put(108, b"0000000")?;
    put(116, b"0000000")?;
    put(124, format!("{size:011o}").as_bytes())?;
    put(136, b"00000000000")?;
    // The checksum counts itself as blanks.
    put(148, b"        ")?;
    put(156, &[kind])?;
    put(257, b"ustar\x0000")?;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}
