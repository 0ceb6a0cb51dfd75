use std::borrow::Cow;

use super::uapi::{self, message, rule};
use super::{Expression, Table};
use crate::netlink::Batch;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The chain at whose end it is put.
    pub chain: String,
    /// What it does, in order.
    pub expressions: Vec<Expression>,
    /// What it is for; `nft list` shows it. At most 127 bytes count.
    pub comment: Cow<'static, str>,
}

impl Rule {
    pub(super) fn encode_append(&self, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, message::NEW_RULE, uapi::CREATE | uapi::APPEND);
        out.text(rule::TABLE, table.name).text(rule::CHAIN, &self.chain);
        out.nest(rule::EXPRESSIONS, |list| {
            for expression in &self.expressions {
                expression.encode(list);
            }
        });
        if !self.comment.is_empty() {
            out.bytes(rule::USERDATA, &comment(&self.comment));
        }
    }

    /// Deletes all rules of a chain.
    pub(super) fn encode_flush(chain: &str, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, message::DEL_RULE, 0);
        out.text(rule::TABLE, table.name).text(rule::CHAIN, chain);
    }
}

/// `[type:u8][len:u8][text][0]`, as libnftnl writes it.
#[allow(clippy::cast_possible_truncation)] // cut to 127 bytes
fn comment(text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let text = text.get(..127).unwrap_or(text);
    let mut bytes = vec![rule::COMMENT, text.len() as u8 + 1];
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

/// The comment in a rule's userdata.
pub(super) fn read_comment(userdata: &[u8]) -> Option<String> {
    let mut rest = userdata;
    while let [kind, len, tail @ ..] = rest {
        let value = tail.get(..usize::from(*len))?;
        if *kind == rule::COMMENT {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = tail.get(usize::from(*len)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_survives() {
        assert_eq!(read_comment(&comment("source check")).as_deref(), Some("source check"));
        assert_eq!(read_comment(&[]), None);
        assert_eq!(read_comment(&[0, 200, 1]), None, "longer than the bytes");
        assert_eq!(read_comment(&[7, 1, 9, 0, 2, b'x', 0]).as_deref(), Some("x"), "behind another field");
    }
}
