//! The ELF file inside `/boot/vmlinuz`. Booted by its PVH entry the guest neither unpacks the kernel itself, which takes long
//! where instructions are translated, nor goes through a boot loader.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Octets of a sector, which the header counts in.
const SECTOR: usize = 512;
/// Offsets in the header (Documentation/arch/x86/boot.rst): sectors of the set-up code, the payload's offset and length.
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// An older header says 0 where it means this.
const SETUP_SECTORS_DEFAULT: usize = 4;

/// How a payload begins, and the program that unpacks it.
const FORMATS: [(&[u8], &str); 4] =
    [(b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b", "gzip"), (b"\x02\x21\x4c\x18", "lz4")];

/// Writes `vmlinux` beside the unpacked package.
pub(super) fn extract(directory: &Path, version: &str) -> Result<()> {
    let path = directory.join(format!("boot/vmlinuz-{version}"));
    let image = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let payload = payload(&image).context("this is no kernel of x86 with a payload")?;
    let (_, program) = FORMATS
        .iter()
        .find(|(start, _)| payload.starts_with(start))
        .context("the kernel is packed in an unknown way")?;
    let elf = decompress(program, payload)?;
    ensure!(elf.starts_with(b"\x7fELF"), "the kernel's payload is no ELF file");
    std::fs::write(directory.join("vmlinux"), elf)?;
    Ok(())
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| -> Option<usize> {
        let octets = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(octets)).ok()
    };
    let sectors = match usize::from(*image.get(SETUP_SECTORS)?) {
        0 => SETUP_SECTORS_DEFAULT,
        sectors => sectors,
    };
    let start = ((sectors + 1) * SECTOR).checked_add(word(PAYLOAD_OFFSET)?)?;
    image.get(start..start.checked_add(word(PAYLOAD_LENGTH)?)?)
}

/// Runs a decompressor. What follows the end of the packed data, here the unpacked length, is no error.
pub(super) fn decompress(program: &str, data: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {program}: install the package that has it"))?;
    let mut input = child.stdin.take().context("standard input is piped")?;
    let output = std::thread::scope(|scope| {
        // It may stop reading at the end of what is packed.
        scope.spawn(move || drop(input.write_all(data)));
        child.wait_with_output()
    })?;
    ensure!(!output.stdout.is_empty(), "{program} unpacks nothing");
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::payload;

    #[test]
    fn the_header_says_where_the_payload_is() {
        let mut image = vec![0; 4096];
        image[0x1f1] = 2;
        image[0x248..0x24c].copy_from_slice(&100u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&3u32.to_le_bytes());
        image[3 * 512 + 100..3 * 512 + 103].copy_from_slice(b"abc");
        assert_eq!(payload(&image), Some(b"abc".as_slice()));
        image[0x24c..0x250].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(payload(&image), None);
        assert_eq!(payload(&[]), None);
    }
}
