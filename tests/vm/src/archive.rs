//! The initial RAM disk: a cpio archive in the "new ASCII" form (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{Result, Write};

/// Kind and permissions of a directory.
const DIRECTORY: u32 = 0o040_755;
/// Kind and permissions of a program.
const PROGRAM: u32 = 0o100_755;
/// The name that ends an archive.
const END: &str = "TRAILER!!!";

/// An archive that is being written.
pub(crate) struct Archive<W> {
    output: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    /// Begins one.
    pub(crate) fn new(output: W) -> Self {
        Self { output, entries: 0 }
    }

    /// Adds a directory; those above it must have been added before.
    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        self.entry(path, DIRECTORY, &[])
    }

    /// Adds a file; the directories above it must have been added before.
    pub(crate) fn file(&mut self, path: &str, contents: &[u8]) -> Result<()> {
        self.entry(path, PROGRAM, contents)
    }

    /// Writes the end and returns the output.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.entry(END, 0, &[])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
        let name = path.trim_start_matches('/');
        self.entries += 1;
        let size = u32::try_from(contents.len()).map_err(|_| std::io::Error::other("a file of 4 GiB"))?;
        let name_size = u32::try_from(name.len() + 1).map_err(|_| std::io::Error::other("a long name"))?;
        // Inode, mode, owner, group, links, time, size, the device twice by major and minor, size of the name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.output.write_all(b"070701")?;
        for field in fields {
            write!(self.output, "{field:08X}")?;
        }
        self.output.write_all(name.as_bytes())?;
        self.output.write_all(&[0])?;
        // The header of 110 octets and the name together, then the contents, each up to a multiple of four.
        self.pad(110 + name.len() + 1)?;
        self.output.write_all(contents)?;
        self.pad(contents.len())
    }

    fn pad(&mut self, length: usize) -> Result<()> {
        let missing = length.next_multiple_of(4) - length;
        self.output.write_all(&[0; 3][..missing])
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_padded_to_four_octets() {
        let mut archive = Archive::new(Vec::new());
        archive.directory("/bin").expect("memory can be written");
        archive.file("/bin/a", b"12345").expect("memory can be written");
        let bytes = archive.finish().expect("memory can be written");
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let starts: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        // 110 + "bin\0" = 114, padded to 116; 110 + "bin/a\0" = 116, no padding, then 5 octets padded to 8.
        assert_eq!(starts, [0, 116, 116 + 116 + 8]);
        assert_eq!(&text[116 + 6..116 + 6 + 16], "00000002000081ED");
        assert_eq!(&text[116 + 6 + 6 * 8..116 + 6 + 7 * 8], "00000005");
        assert!(text.contains("TRAILER!!!"));
    }
}
