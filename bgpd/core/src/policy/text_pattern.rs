use regex::bytes::Regex;

/// A regular expression over the text of an attribute, in time linear in that text.
///
/// Whoever compiles it bounds its size; the configuration does (`bgpd-api`). Two are equal if they are written alike.
#[derive(Debug, Clone)]
pub struct TextPattern(Regex);

impl TextPattern {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Does it match anywhere in the text?
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

impl From<Regex> for TextPattern {
    fn from(regex: Regex) -> Self {
        Self(regex)
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TextPattern {}
