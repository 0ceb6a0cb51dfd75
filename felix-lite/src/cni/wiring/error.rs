use cairn_api::kinds::UnderlayKind;
use thiserror::Error;

/// Why a container is not wired, or not as it should be.
#[derive(Debug, Error)]
pub(in crate::cni) enum WiringError {
    /// The container has an interface of that name, and it is not ours.
    #[error("interface {ifname} is in {netns} already, and is not Cairn's")]
    InterfaceExists {
        /// `CNI_IFNAME`.
        ifname: String,
        /// `CNI_NETNS`.
        netns: String,
    },
    /// CHECK found a difference.
    #[error("{interface}: {difference}")]
    Mismatch {
        /// The host's end, or `CNI_IFNAME` for the container's.
        interface: String,
        /// What is missing or different.
        difference: String,
    },
    /// What came as a namespace is none.
    #[error("{netns} is not a network namespace: {source}")]
    NotNetns {
        /// `CNI_NETNS`.
        netns: String,
        /// What the kernel said.
        source: cairn_kernel::Error,
    },
    /// The network that the node is in cannot be shared.
    #[error("no pod on {interface} by {kind}: {why}: {source}")]
    Underlay {
        /// The node's interface.
        interface: String,
        /// How it was to be shared.
        kind: UnderlayKind,
        /// What is in the way.
        why: String,
        /// What the kernel said.
        source: cairn_kernel::Error,
    },
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] cairn_kernel::Error),
    /// The daemon is stopping.
    #[error("felix-lite is stopping")]
    Stopping,
}
