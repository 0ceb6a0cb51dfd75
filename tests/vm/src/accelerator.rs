//! Whether the host's processor runs the guest itself, or QEMU translates its instructions.

use std::fs::File;

use anyhow::{Result, bail};

/// Says which one to take, whatever the host looks like: `kvm` or `tcg`.
const VARIABLE: &str = "CAIRN_VM_ACCELERATOR";

/// The processor that is translated: without what is slow to translate, and only there. The kernel would clear and copy pages by one repeated
/// string instruction, which is a loop over octets then, and walk five levels of page tables; libraries would take vector instructions,
/// which are function calls then. A page fault takes a tenth of the time, a new process a third.
const TRANSLATED: &str = "max,-erms,-la57,-avx,-avx2";

/// Who runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// The processor, by the host's kernel.
    Kvm,
    /// QEMU's translator: integer code at nearly full speed, a new process several times slower.
    Tcg,
}

impl Accelerator {
    /// What is worth trying on this host, best first.
    pub(crate) fn candidates() -> Result<Vec<Self>> {
        match std::env::var(VARIABLE).as_deref() {
            Ok("kvm") => Ok(vec![Self::Kvm]),
            Ok("tcg") => Ok(vec![Self::Tcg]),
            Ok(other) => bail!("{VARIABLE}={other}: `kvm` or `tcg`"),
            Err(_) if has_virtualization() => Ok(vec![Self::Kvm, Self::Tcg]),
            Err(_) => Ok(vec![Self::Tcg]),
        }
    }

    /// The word that the guest's programs see, and people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// What the guest's kernel is told beside what all are told.
    pub(crate) fn kernel_options(self) -> &'static str {
        match self {
            Self::Kvm => "",
            // Repeated string instructions again; and code that lies at the same address in each process is translated once.
            Self::Tcg => " clearcpuid=rep_good norandmaps",
        }
    }

    /// QEMU's options.
    pub(crate) fn options(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", TRANSLATED],
        }
    }
}

/// Whether processor and kernel offer virtualization. `/dev/kvm` alone does not say so: with a module that works without the
/// processor (pvm) it is there too, and then runs only kernels made for it.
fn has_virtualization() -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    announces_virtualization(&text) && File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

fn announces_virtualization(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm")
}

/// How often the host's processor counts, in kHz. A guest under TCG sees the host's counter, and must not measure it itself on
/// a busy host.
pub(crate) fn counter_khz() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (whole, fraction) = line.split(':').nth(1)?.trim().split_once('.')?;
    let thousandths: u64 = fraction.get(..3)?.parse().ok()?;
    Some(whole.parse::<u64>().ok()? * 1000 + thousandths)
}

#[cfg(test)]
mod tests {
    use super::announces_virtualization;

    #[test]
    fn a_flag_of_the_processor_decides() {
        assert!(announces_virtualization("model name : x\nflags\t\t: fpu svm sse\n"));
        assert!(announces_virtualization("flags\t\t: fpu vmx\n"));
        assert!(!announces_virtualization("flags\t\t: fpu svm_lock hypervisor\nbugs : svm\n"));
        assert!(!announces_virtualization(""));
    }
}
