//! The Internet checksum (RFC 1071).

/// The checksum over `bytes`, whose own checksum field is zero.
pub(super) fn internet(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::internet;

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        let mut message = [8, 0, 0, 0, 0x12, 0x34, 0, 1, 0xff, 0xfe, 7];
        let sum = internet(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        assert_eq!(internet(&message), 0);
    }
}
