use std::collections::BTreeMap;

use cairn_api::Selector;

/// A selector: what parses is written in a form that parses to the same, and matches or does not, as its opposite does not or does.
pub fn selector(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    let Ok(selector) = text.parse::<Selector>() else {
        return;
    };
    let written = selector.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&selector), "{written}");
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned()), ("rack".to_owned(), "r1".to_owned())]);
    // The opposite may be nested too deeply to be read.
    if let Ok(opposite) = format!("!({written})").parse::<Selector>() {
        assert_ne!(opposite.matches(&labels), selector.matches(&labels), "{written}");
    }
}
