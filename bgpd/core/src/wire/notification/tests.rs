use super::*;

#[test]
fn every_code_and_subcode_survives_the_wire() {
    for code in 0..=255 {
        for subcode in 0..=255 {
            assert_eq!(NotificationCode::from_wire(code, subcode).to_wire(), (code, subcode));
        }
    }
}

#[test]
fn a_shutdown_text_is_carried_and_shown() {
    let notification = Notification::shutdown(CeaseError::AdministrativeShutdown, "maintenance until 14:00");
    let received = Notification::decode(&notification.encode().slice(super::super::HEADER_LEN..));
    assert_eq!(received, notification);
    assert_eq!(received.to_string(), "Cease / Administrative Shutdown: maintenance until 14:00");
}

#[test]
fn a_long_text_is_cut_between_characters() {
    let notification = Notification::shutdown(CeaseError::AdministrativeReset, &"ä".repeat(200));
    assert_eq!(notification.data.len(), 1 + 254);
    assert_eq!(notification.shutdown_text(), Some("ä".repeat(127)));
    assert_eq!(Notification::shutdown(CeaseError::AdministrativeReset, "").data.len(), 0);
}

#[test]
fn a_text_that_cannot_be_trusted_is_made_harmless() {
    let text = |data: &[u8]| {
        let code = NotificationCode::Cease(CeaseError::AdministrativeShutdown);
        Notification::new(code, data).shutdown_text()
    };
    assert_eq!(text(b"\x05a\x1b[2J"), Some("a [2J".to_owned()));
    assert_eq!(text(b"\x02\xff\xfe"), Some("\u{fffd}\u{fffd}".to_owned()));
    assert_eq!(text(b"\x09short"), None);
    assert_eq!(text(b"\x00"), None);
    assert_eq!(text(b""), None);
}

#[test]
fn a_hard_reset_wraps_the_real_cause() {
    let cause = Notification::shutdown(CeaseError::AdministrativeShutdown, "bye");
    let reset = cause.clone().into_hard_reset();
    assert_eq!(reset.code.to_wire(), (6, 9));
    assert_eq!(reset.hard_reset_cause(), Some(cause));
    assert_eq!(reset.to_string(), "Cease / Hard Reset: Cease / Administrative Shutdown: bye");
    assert_eq!(Notification::cease(CeaseError::HardReset).hard_reset_cause(), None);
}

#[test]
fn other_data_is_shown_as_hex() {
    let notification =
        Notification::new(NotificationCode::Open(OpenError::UnsupportedVersionNumber), &[0, 4]);
    assert_eq!(notification.to_string(), "OPEN Message Error / Unsupported Version Number (data 00 04)");
    assert_eq!(
        Notification::new(NotificationCode::HoldTimerExpired(0), &[]).to_string(),
        "Hold Timer Expired"
    );
}
