use proptest::prelude::*;

use super::*;
use crate::wire::{Message, RefreshSubtype, RouteRefresh};

fn header(len: u16, kind: u8) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend_from_slice(&len.to_be_bytes());
    octets.push(kind);
    octets
}

fn first(stream: &[u8]) -> Result<Option<Frame>, Notification> {
    let mut framer = Framer::default();
    framer.push(stream);
    framer.next_frame()
}

#[track_caller]
fn refuses(stream: &[u8], error: HeaderError, data: &[u8]) {
    let notification = first(stream).unwrap_err();
    assert_eq!((notification.code, &*notification.data), (NotificationCode::Header(error), data));
}

#[test]
fn a_stream_is_cut_into_messages_wherever_it_breaks() {
    let mut stream = Message::keepalive().to_vec();
    stream.extend_from_slice(&header(23, 2));
    stream.extend_from_slice(&[0; 4]);
    stream.extend_from_slice(&Message::keepalive());
    let expected = [(MessageType::Keepalive, 0), (MessageType::Update, 4), (MessageType::Keepalive, 0)];
    let shared = Bytes::from(stream.clone());
    for cut in 0..stream.len() {
        for copied in [[true, true], [false, false], [true, false], [false, true]] {
            let mut framer = Framer::default();
            let mut kinds = Vec::new();
            for (part, copied) in [shared.slice(..cut), shared.slice(cut..)].into_iter().zip(copied) {
                if copied {
                    framer.push(&part);
                } else {
                    framer.push_shared(part);
                }
                while let Some(frame) = framer.next_frame().unwrap() {
                    kinds.push((frame.kind, frame.body.len()));
                }
                let taken: usize = kinds.iter().map(|(_, len)| HEADER_LEN + len).sum();
                assert_eq!(framer.unread().len(), cut.saturating_sub(taken), "cut at {cut}");
            }
            assert_eq!((kinds.as_slice(), framer.buffered()), (&expected[..], 0), "cut at {cut}");
        }
    }
}

#[test]
fn whole_messages_are_not_copied_and_nothing_of_what_was_read_is_kept() {
    let mut read = BytesMut::from(&*[Message::keepalive(), Message::keepalive().slice(..5)].concat());
    read.reserve(100);
    let (place, room) = (read.as_ptr(), read.capacity());
    let mut framer = Framer::default();
    framer.push_shared(read.split().freeze());
    let frame = framer.next_frame().unwrap().unwrap();
    assert_eq!((frame.kind, frame.body.as_ptr()), (MessageType::Keepalive, place.wrapping_add(HEADER_LEN)));
    assert_eq!((framer.next_frame().unwrap(), framer.unread()), (None, &[0xff; 5][..]));
    drop(frame);
    assert!(read.try_reclaim(room), "the reader has all of its memory back");
}

#[test]
fn what_was_not_taken_yet_stays_in_order() {
    let mut framer = Framer::default();
    let update = [header(23, 2), vec![0; 4]].concat();
    framer.push_shared(Bytes::from([&update[..], &Message::keepalive()[..7]].concat()));
    framer.push_shared(Bytes::from([&Message::keepalive()[7..], &update[..20]].concat()));
    framer.push(&update[20..]);
    let kinds: Vec<MessageType> =
        std::iter::from_fn(|| framer.next_frame().unwrap()).map(|frame| frame.kind).collect();
    assert_eq!(kinds, [MessageType::Update, MessageType::Keepalive, MessageType::Update]);
}

#[test]
fn a_marker_other_than_ones_is_not_synchronized() {
    let mut stream = header(19, 4);
    stream[7] = 0xfe;
    refuses(&stream, HeaderError::ConnectionNotSynchronized, &[]);
}

#[test]
fn a_length_out_of_range_is_bad_and_is_the_data() {
    for (len, kind) in
        [(0, 4), (18, 4), (20, 4), (28, 1), (22, 2), (20, 3), (4097, 2), (65535, 2), (4097, 99)]
    {
        refuses(&header(len, kind), HeaderError::BadMessageLength, &len.to_be_bytes());
    }
}

#[test]
fn an_unknown_type_is_bad_and_is_the_data() {
    for kind in [0, 6, 255] {
        refuses(&header(19, kind), HeaderError::BadMessageType, &[kind]);
    }
}

#[test]
fn extended_messages_are_taken_once_allowed_but_not_for_open_and_keepalive() {
    let mut framer = Framer::default();
    framer.allow_extended_messages();
    framer.push(&header(65535, 2));
    assert_eq!(framer.next_frame(), Ok(None));
    for kind in [1, 4] {
        let mut framer = Framer::default();
        framer.allow_extended_messages();
        framer.push(&header(4097, kind));
        assert!(framer.next_frame().is_err());
    }
}

#[test]
fn route_refresh_is_read_and_written() {
    for (octet, subtype) in [
        (0, RefreshSubtype::Request),
        (1, RefreshSubtype::Begin),
        (2, RefreshSubtype::End),
        (9, RefreshSubtype::Unknown(9)),
    ] {
        let refresh = RouteRefresh { family: cairn_net::Family::Ipv6.into(), subtype };
        let message = refresh.encode();
        assert_eq!(message[HEADER_LEN..], [0, 2, octet, 1]);
        assert_eq!(RouteRefresh::decode(&message[HEADER_LEN..]), Ok(refresh));
    }
}

#[test]
fn route_refresh_of_a_wrong_length_is_refused_with_the_message() {
    let mut message = header(22, 5);
    message.extend_from_slice(&[0, 1, 0]);
    let refused = RouteRefresh::decode(&message[HEADER_LEN..]).unwrap_err();
    assert_eq!(refused.code.to_wire(), (7, 1));
    assert_eq!(refused.data, message);
}

proptest! {
    #[test]
    fn any_stream_is_cut_without_panic_and_without_growth(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8),
        synchronized: bool,
    ) {
        let mut framer = Framer::default();
        for mut part in parts {
            if synchronized && part.len() >= 19 {
                part[..16].fill(0xff);
                part[16] = 0;
            }
            framer.push(&part);
            loop {
                match framer.next_frame() {
                    Ok(Some(frame)) => prop_assert!(frame.body.len() <= MAX_MESSAGE_LEN - HEADER_LEN),
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            prop_assert!(framer.buffered() < MAX_MESSAGE_LEN);
        }
    }
}
