//! Names that follow from an attachment alone, so that DEL finds what ADD made with nothing else in hand.

use cairn_net::Mac;
use felix_api::Attachment;
use sha2::{Digest as _, Sha256};

/// The first letters of every workload interface's name.
pub(crate) const PREFIX: &str = "crn";
/// Hex digits behind them: 44 bits, and 15 bytes in all, the kernel's most.
const DIGITS: usize = 11;

/// The name of the host's end.
pub(crate) fn host_ifname(attachment: &Attachment) -> String {
    let hex: String =
        hash(attachment).iter().map(|byte| format!("{byte:02x}")).take(DIGITS.div_ceil(2)).collect();
    let digits: String = hex.chars().take(DIGITS).collect();
    format!("{PREFIX}{digits}")
}

/// The MAC address of the container's end unless one is asked for: locally administered, and the same for the same attachment.
pub(crate) fn pod_mac(attachment: &Attachment) -> Mac {
    let hash = hash(attachment);
    Mac([0x02, hash[16], hash[17], hash[18], hash[19], hash[20]])
}

/// Is it a name that only we give?
pub(crate) fn is_host_ifname(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn hash(attachment: &Attachment) -> [u8; 32] {
    // Neither part can hold a slash.
    Sha256::digest(attachment.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(container: &str, ifname: &str) -> Attachment {
        Attachment { container: container.parse().unwrap(), ifname: ifname.parse().unwrap() }
    }

    #[test]
    fn names_are_stable_distinct_and_recognised() {
        let name = host_ifname(&attachment("c1", "eth0"));
        // printf 'c1/eth0' | sha256sum
        assert_eq!(name, "crnd72e032fedd");
        assert_ne!(name, host_ifname(&attachment("c1", "eth1")));
        assert!(is_host_ifname(&name) && name.len() == 15 - 1);
        for other in ["crn0", "crnABCDEF01234", "eth0", "crnd72e032fedd0"] {
            assert!(!is_host_ifname(other), "{other}");
        }
    }

    #[test]
    fn a_mac_is_unicast_and_local() {
        let mac = pod_mac(&attachment("c1", "eth0"));
        assert!(mac.is_unicast() && mac.0[0] == 2);
    }
}
