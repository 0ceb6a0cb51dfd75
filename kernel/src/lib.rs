//! Every syscall of Cairn: netlink, nftables, network namespaces, sysctls, socket options.
//!
//! | room | what |
//! |---|---|
//! | [`netlink`] | raw messages: build, send in batches, read answers and lists |
//! | [`object`] | links, addresses, routes, nexthops, neighbours and rules as plain values |
//! | [`rtnl`] | the client that writes, deletes and lists those |
//! | [`nftables`] | tables, chains, rules, sets and their elements, in transactions |
//! | [`monitor`] | what the kernel tells of its own accord |
//! | [`conntrack`] | tracked flows: list them, end them |
//! | [`echo`] | echo requests that nobody may fragment |
//! | [`ethtool`] | checksum offload of interfaces |
//! | [`limit`] | limits of this process |
//! | [`netns`] | network namespaces |
//! | [`reconciler`] | desired versus actual, for every kind of object |
//! | [`sysctl`] | settings under `/proc/sys` |
//! | [`tcp`] | the TCP options of BGP |
//! | [`udp`] | datagrams in batches with their details, for BFD |
//! | [`wireguard`] | WireGuard interfaces: keys and peers |
//! | [`allocator`] | memory that large tables have outgrown |
//! | [`poll`], [`sched`] | waiting and urgency of a thread of its own |
//!
//! Nothing here knows of Kubernetes, of BGP or of Cairn's configuration. Only this crate has `unsafe` code.

pub mod allocator;
pub mod conntrack;
pub mod echo;
pub mod error;
pub mod ethtool;
pub mod fd;
pub mod limit;
pub mod monitor;
pub mod netlink;
pub mod netns;
pub mod nftables;
pub mod object;
pub mod poll;
pub mod reconciler;
pub mod rtnl;
pub mod sched;
pub mod sysctl;
pub mod tcp;
pub mod udp;
pub mod wireguard;

pub use error::{Error, Refusal};
pub use netns::{Netns, NetnsId};
pub use rtnl::{Listed, Requests, Rtnl};
