//! Next hops.

use std::time::Duration;

use super::{FieldError, address, address_bytes, all, each, optional_address, prefix};
use crate::next_hop::{NextHop, NextHopGateway, NextHopPage};
use crate::proto;

impl From<NextHopPage> for proto::ListNextHopsResponse {
    fn from(page: NextHopPage) -> Self {
        Self { tracked: page.tracked, next_hops: each(page.next_hops) }
    }
}

impl TryFrom<proto::ListNextHopsResponse> for NextHopPage {
    type Error = FieldError;

    fn try_from(message: proto::ListNextHopsResponse) -> Result<Self, FieldError> {
        Ok(Self { tracked: message.tracked, next_hops: all(message.next_hops)? })
    }
}

impl From<NextHop> for proto::NextHop {
    fn from(hop: NextHop) -> Self {
        Self {
            address: address_bytes(hop.address),
            paths: hop.paths,
            unreachable: hop.unreachable,
            metric: hop.metric,
            connected: hop.connected,
            via: hop.via.map(Into::into),
            protocol: hop.protocol,
            gateways: each(hop.gateways),
            discarded: hop.discarded,
            since_seconds: hop.since.as_secs(),
        }
    }
}

impl TryFrom<proto::NextHop> for NextHop {
    type Error = FieldError;

    fn try_from(message: proto::NextHop) -> Result<Self, FieldError> {
        Ok(Self {
            address: address("address", &message.address)?,
            paths: message.paths,
            metric: message.metric,
            connected: message.connected,
            unreachable: message.unreachable,
            via: message.via.as_ref().map(|via| prefix(Some(via))).transpose()?,
            protocol: message.protocol,
            gateways: all(message.gateways)?,
            discarded: message.discarded,
            since: Duration::from_secs(message.since_seconds),
        })
    }
}

impl From<NextHopGateway> for proto::NextHopGateway {
    fn from(gateway: NextHopGateway) -> Self {
        Self {
            address: gateway.address.map(address_bytes).unwrap_or_default(),
            interface: gateway.interface,
            interface_name: gateway.interface_name,
        }
    }
}

impl TryFrom<proto::NextHopGateway> for NextHopGateway {
    type Error = FieldError;

    fn try_from(message: proto::NextHopGateway) -> Result<Self, FieldError> {
        Ok(Self {
            address: optional_address("address", &message.address)?,
            interface: message.interface,
            interface_name: message.interface_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_hop_is_the_same_after_a_round_trip() {
        let hop = |metric, unreachable: &str| NextHop {
            address: "2001:db8::1".parse().unwrap(),
            paths: 7,
            metric,
            connected: false,
            unreachable: unreachable.to_owned(),
            via: metric.map(|_| "2001:db8::/32".parse().unwrap()),
            protocol: "static".to_owned(),
            gateways: vec![NextHopGateway {
                address: "fe80::1".parse().ok(),
                interface: 3,
                interface_name: "eth0".to_owned(),
            }],
            discarded: metric.is_some(),
            since: Duration::from_secs(9),
        };
        let page = NextHopPage {
            tracked: true,
            next_hops: vec![hop(Some(0), ""), hop(None, "no route leads there")],
        };
        let message = proto::ListNextHopsResponse::from(page.clone());
        assert_eq!(NextHopPage::try_from(message).unwrap(), page);
        let wrong = proto::NextHop { address: vec![1, 2].into(), ..proto::NextHop::default() };
        assert!(NextHop::try_from(wrong).is_err());
    }
}
