use bfd_core::{MAX_PACKET, Packet};

/// The payload of a datagram: what decodes is encoded in a form that decodes to the same.
pub fn bfd_packet(octets: &[u8]) {
    let Ok(packet) = Packet::decode(octets) else {
        return;
    };
    assert!(packet.detect_mult > 0 && packet.my_discriminator > 0);
    assert!(packet.authenticated.len() <= octets.len());
    let mut out = [0; MAX_PACKET];
    let len = packet.encode(&mut out);
    let again = Packet::decode(&out[..len]).expect("what we encode is valid");
    assert_eq!(again, Packet { authenticated: &[], ..packet });
}
