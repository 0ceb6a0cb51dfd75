use cairn_net::{Asn, Mac, Prefix, RouterId};

/// Text of prefixes and the other words of `cairn-net`: what parses is written in a form that parses to the same.
pub fn prefix(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(prefix) = text.parse::<Prefix>() {
        assert_eq!(prefix.to_string().parse(), Ok(prefix));
        assert_eq!(Prefix::new(prefix.addr(), prefix.len()), Some(prefix));
        assert!(prefix.contains(prefix.addr()) && prefix.contains(prefix.last()));
        assert!(prefix.covers(prefix) && prefix.overlaps(prefix));
        assert_eq!(prefix.nth(0), Some(prefix.addr()));
        assert_eq!(prefix.subnet(prefix.len(), 0), Some(prefix));
    }
    if let Ok(asn) = text.parse::<Asn>() {
        assert_eq!(asn.to_string().parse(), Ok(asn));
    }
    if let Ok(id) = text.parse::<RouterId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(mac) = text.parse::<Mac>() {
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }
}
