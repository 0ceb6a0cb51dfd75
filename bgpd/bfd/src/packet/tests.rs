use super::*;

/// A packet in Down that knows nobody, as octets.
fn octets() -> [u8; MIN_PACKET] {
    let mut out = [0; MAX_PACKET];
    let packet = Packet {
        diagnostic: Diagnostic::None,
        state: State::Down,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_mult: 3,
        my_discriminator: 7,
        your_discriminator: 0,
        desired_min_tx: 1_000_000,
        required_min_rx: 300_000,
        required_min_echo_rx: 0,
        authenticated: &[],
    };
    assert_eq!(packet.encode(&mut out), MIN_PACKET);
    *out.first_chunk().unwrap()
}

fn with(at: usize, value: u8) -> Result<(), Discard> {
    let mut octets = octets();
    octets[at] = value;
    Packet::decode(&octets).map(|_| ())
}

#[test]
fn every_field_survives_encoding() {
    let packet = Packet {
        diagnostic: Diagnostic::NeighborSignaledSessionDown,
        state: State::Up,
        poll: true,
        is_final: true,
        control_plane_independent: true,
        demand: true,
        detect_mult: 255,
        my_discriminator: u32::MAX,
        your_discriminator: 1,
        desired_min_tx: 50_000,
        required_min_rx: u32::MAX,
        required_min_echo_rx: 12,
        authenticated: &[],
    };
    let mut out = [0; MAX_PACKET];
    let len = packet.encode(&mut out);
    assert_eq!(Packet::decode(&out[..len]), Ok(packet));
}

#[test]
fn the_octets_are_those_of_the_rfcs_figure() {
    // Version 1, diagnostic 0; Down; multiplier 3; 24 octets; the two discriminators; three times.
    let expected =
        [0x20, 0x40, 3, 24, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0x04, 0x93, 0xe0, 0, 0, 0, 0];
    assert_eq!(octets(), expected);
}

#[test]
fn a_version_other_than_1_is_discarded() {
    for version in (0..8).filter(|version| *version != 1) {
        assert_eq!(with(0, version << 5), Err(Discard::Version));
    }
}

#[test]
fn a_length_below_24_is_discarded() {
    assert_eq!(with(3, 23), Err(Discard::Length));
    assert_eq!(with(3, 0), Err(Discard::Length));
}

#[test]
fn a_length_below_26_with_the_a_bit_is_discarded() {
    let mut long = [0; 26];
    long[..24].copy_from_slice(&octets());
    long[1] |= AUTHENTICATION;
    for length in [24, 25] {
        long[3] = length;
        assert_eq!(Packet::decode(&long), Err(Discard::Length));
    }
    long[3] = 26;
    assert!(Packet::decode(&long).is_ok());
}

#[test]
fn a_length_beyond_the_payload_is_discarded() {
    assert_eq!(with(3, 25), Err(Discard::Length));
    assert_eq!(Packet::decode(&octets()[..23]), Err(Discard::Length));
    assert_eq!(Packet::decode(&[]), Err(Discard::Length));
}

#[test]
fn octets_beyond_the_length_are_ignored() {
    let mut long = [0xff; 40];
    long[..24].copy_from_slice(&octets());
    assert_eq!(Packet::decode(&long), Packet::decode(&octets()));
}

#[test]
fn a_detect_mult_of_zero_is_discarded() {
    assert_eq!(with(2, 0), Err(Discard::DetectMult));
}

#[test]
fn the_multipoint_bit_is_discarded() {
    assert_eq!(with(1, 0x41), Err(Discard::Multipoint));
}

#[test]
fn a_my_discriminator_of_zero_is_discarded() {
    assert_eq!(with(7, 0), Err(Discard::MyDiscriminator));
}

#[test]
fn a_your_discriminator_of_zero_is_for_down_and_admin_down_only() {
    assert_eq!(with(1, State::AdminDown.to_wire() << 6), Ok(()));
    assert_eq!(with(1, State::Down.to_wire() << 6), Ok(()));
    assert_eq!(with(1, State::Init.to_wire() << 6), Err(Discard::YourDiscriminator));
    assert_eq!(with(1, State::Up.to_wire() << 6), Err(Discard::YourDiscriminator));
}
