//! Filters of the document as policies of the speaker.

use std::sync::Arc;

use bgp_core::policy::Policy;
use bgpd_api::config::{Config, FilterChain, Policies};
use bgpd_policy::Compiled;

pub(crate) use bgpd_policy::split;

/// Every filter of the document, ready to run.
pub(super) fn compiled(config: &Config) -> Compiled {
    Compiled::new(&Policies::from(config), config.local_as)
}

/// The policy that a neighbour names; `None` if it names none, which leaves it to RFC 8212.
pub(super) fn policy(chain: Option<&FilterChain>, compiled: &Compiled) -> Option<Arc<Policy>> {
    chain.map(|chain| compiled.chain(chain))
}
