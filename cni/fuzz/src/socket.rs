use felix_api::{HEADER, Reply, Request, body_len, encode};

/// A frame from either side of the socket.
pub fn cni_socket(octets: &[u8]) {
    let Some((header, rest)) = octets.split_first_chunk::<HEADER>() else { return };
    if let Ok(len) = body_len(*header) {
        assert!(len <= felix_api::MAX_FRAME);
    }
    if let Ok(request) = serde_json::from_slice::<Request>(rest) {
        let frame = encode(&request).expect("no longer than what was read");
        assert_eq!(serde_json::from_slice::<Request>(&frame[HEADER..]).expect("valid"), request);
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(rest) {
        let frame = encode(&reply).expect("no longer than what was read");
        assert_eq!(serde_json::from_slice::<Reply>(&frame[HEADER..]).expect("valid"), reply);
    }
}
