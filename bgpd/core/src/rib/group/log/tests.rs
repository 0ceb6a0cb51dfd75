use super::*;

fn entry(len: usize, audience: Audience) -> Entry {
    Entry { bytes: vec![0; len].into(), audience, messages: 1 }
}

#[test]
fn an_audience_is_everybody_but_the_source_or_one_member() {
    let [a, b] = [SourceId(1), SourceId(2)];
    assert!(Audience::AllBut(a).includes(b) && !Audience::AllBut(a).includes(a));
    assert!(Audience::Only(a).includes(a) && !Audience::Only(a).includes(b));
}

#[test]
fn places_stay_the_same_when_the_log_is_cut() {
    let mut log = Log::default();
    for len in 1..=3 {
        log.push(entry(len, Audience::AllBut(SourceId(1))));
    }
    assert_eq!((log.base(), log.end()), (0, 3));
    assert_eq!(log.pop().map(|entry| entry.bytes.len()), Some(1));
    assert_eq!((log.base(), log.end()), (1, 3));
    assert!(log.get(0).is_none(), "what is cut off is gone");
    assert_eq!(log.get(1).map(|entry| entry.bytes.len()), Some(2));
    assert_eq!(log.get(2).map(|entry| entry.bytes.len()), Some(3));
    assert!(log.get(3).is_none(), "nothing at the end");
}

#[test]
fn a_log_is_too_long_beyond_its_window_until_enough_is_cut_off() {
    let mut log = Log::default();
    let half = Log::WINDOW / 2;
    for _ in 0..2 {
        log.push(entry(half, Audience::AllBut(SourceId(1))));
    }
    assert!(!log.is_too_long());
    log.push(entry(1, Audience::AllBut(SourceId(1))));
    assert!(log.is_too_long());
    log.pop();
    assert!(!log.is_too_long());
    while log.pop().is_some() {}
    assert_eq!((log.base(), log.end()), (3, 3), "places are never given twice");
}
