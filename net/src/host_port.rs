use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Family, ParseError, serde_as_text};

/// A protocol with ports that a node can lead to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Transport {
    /// Its protocol number above IP.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Transport {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        [Self::Tcp, Self::Udp, Self::Sctp]
            .into_iter()
            .find(|transport| transport.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| ParseError::new("protocol", text, "tcp, udp or sctp, in any case"))
    }
}

serde_as_text!(Transport, "tcp, udp or sctp");

/// A port of the node that leads to a port of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// Of what.
    pub transport: Transport,
    /// The address of the node; an unspecified one is each of its family, `None` each of either family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The node's port.
    pub host_port: NonZeroU16,
    /// The pod's port.
    pub port: NonZeroU16,
}

impl HostPort {
    /// Is it for connections of a family?
    pub fn is_of(&self, family: Family) -> bool {
        self.host_ip.is_none_or(|address| Family::of(address) == family)
    }

    /// The one address that it is for; `None`: each of the node's.
    pub fn address(&self) -> Option<IpAddr> {
        self.host_ip.filter(|address| !address.is_unspecified())
    }

    /// Is it for connections to this address of the node?
    pub fn takes(&self, address: IpAddr) -> bool {
        self.is_of(Family::of(address)) && self.address().is_none_or(|own| own == address)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.transport, self.host_port)?;
        self.host_ip.map_or(Ok(()), |address| write!(f, " of {address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ip: Option<&str>) -> HostPort {
        let number = NonZeroU16::new(80).unwrap();
        let host_ip = host_ip.map(|address| address.parse().unwrap());
        HostPort { transport: Transport::Tcp, host_ip, host_port: number, port: number }
    }

    #[test]
    fn an_unspecified_address_is_each_of_its_family() {
        let [four, six] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
        for (host_ip, takes) in [
            (None, (true, true)),
            (Some("0.0.0.0"), (true, false)),
            (Some("::"), (false, true)),
            (Some("192.0.2.1"), (true, false)),
            (Some("192.0.2.2"), (false, false)),
        ] {
            let port = port(host_ip);
            assert_eq!((port.takes(four), port.takes(six)), takes, "{port}");
        }
    }

    #[test]
    fn protocols_are_named_in_any_case() {
        assert_eq!("TCP".parse(), Ok(Transport::Tcp));
        assert_eq!("sctp".parse(), Ok(Transport::Sctp));
        assert!("icmp".parse::<Transport>().unwrap_err().to_string().contains("tcp, udp or sctp"));
    }
}
