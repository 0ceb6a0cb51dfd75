//! Recursive descent over the text. Every branch consumes at least a character, and recursion counts its depth.

use std::collections::BTreeSet;

use super::{Expression, Operator, SelectorError};

/// Longest selector. Unit: bytes.
pub const MAX_LENGTH: usize = 4096;
/// Deepest nesting of `(` and `!`.
pub const MAX_DEPTH: usize = 32;

/// Longest label key. Unit: bytes.
const MAX_KEY: usize = 512;

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

type Parsed<T> = Result<T, &'static str>;

pub(super) fn selector(text: &str) -> Result<Expression, SelectorError> {
    let mut parser = Parser { text, at: 0 };
    parser.whole().map_err(|rule| SelectorError {
        value: text.chars().take(128).collect(),
        at: text.get(..parser.at).map_or(1, |read| read.chars().count() + 1),
        rule,
    })
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Parsed<Expression> {
        if self.text.len() > MAX_LENGTH {
            return Err("at most 4096 bytes");
        }
        self.skip_space();
        if self.rest().is_empty() {
            return Ok(Expression::All);
        }
        let expression = self.or(0)?;
        if !self.rest().is_empty() {
            return Err("&&, || or the end");
        }
        // What is read must be readable once it has been written, and writing sets blanks.
        if expression.to_string().len() > MAX_LENGTH {
            return Err("at most 4096 bytes with a blank on either side of each operator");
        }
        Ok(expression)
    }

    fn or(&mut self, depth: usize) -> Parsed<Expression> {
        let mut parts = vec![self.and(depth)?];
        while self.take("||") {
            parts.push(self.and(depth)?);
        }
        Ok(Expression::or(parts))
    }

    fn and(&mut self, depth: usize) -> Parsed<Expression> {
        let mut parts = vec![self.term(depth)?];
        while self.take("&&") {
            parts.push(self.term(depth)?);
        }
        Ok(Expression::and(parts))
    }

    fn term(&mut self, depth: usize) -> Parsed<Expression> {
        if depth > MAX_DEPTH {
            return Err("at most 32 levels of parentheses and !");
        }
        if self.take("!") {
            return Ok(Expression::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.or(depth + 1)?;
            self.expect(")", "a closing parenthesis")?;
            return Ok(inner);
        }
        let start = self.at;
        let key = self.key()?;
        match key {
            "all" if self.call() => return Ok(Expression::All),
            "global" if self.call() => return Ok(Expression::Global),
            "has" if self.take("(") => {
                let key = self.key()?.to_owned();
                self.expect(")", "a closing parenthesis")?;
                return Ok(Expression::Has(key));
            }
            _ => {}
        }
        self.comparison(key.to_owned()).inspect_err(|_| {
            if self.at < start {
                self.at = start;
            }
        })
    }

    /// `()`, as a whole or not at all.
    fn call(&mut self) -> bool {
        let start = self.at;
        let found = self.take("(") && self.take(")");
        if !found {
            self.at = start;
        }
        found
    }

    fn comparison(&mut self, key: String) -> Parsed<Expression> {
        if self.take("==") {
            return Ok(Expression::Compare(key, Operator::Equal, self.value()?));
        }
        if self.take("!=") {
            return Ok(Expression::Compare(key, Operator::NotEqual, self.value()?));
        }
        match self.word() {
            "in" => Ok(Expression::In(key, self.values()?)),
            "not" if self.word() == "in" => Ok(Expression::NotIn(key, self.values()?)),
            "contains" => Ok(Expression::Compare(key, Operator::Contains, self.value()?)),
            "starts" if self.word() == "with" => {
                Ok(Expression::Compare(key, Operator::StartsWith, self.value()?))
            }
            "ends" if self.word() == "with" => {
                Ok(Expression::Compare(key, Operator::EndsWith, self.value()?))
            }
            _ => Err("==, !=, in, not in, contains, starts with or ends with"),
        }
    }

    fn key(&mut self) -> Parsed<&'a str> {
        let in_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./-".contains(byte);
        let length = self.rest().bytes().take_while(|byte| in_key(byte)).count();
        let key = self.rest().get(..length).filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
        let key = key.ok_or("a label: 1 to 512 letters, digits, '_', '.', '/' and '-'")?;
        self.skip(length);
        Ok(key)
    }

    /// A word of letters; empty where there is none.
    fn word(&mut self) -> &'a str {
        let length = self.rest().bytes().take_while(u8::is_ascii_lowercase).count();
        let word = self.rest().get(..length).unwrap_or("");
        self.skip(length);
        word
    }

    fn value(&mut self) -> Parsed<String> {
        let rule = "a value in single or double quotes";
        let quote = self.rest().chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or(rule)?;
        let inner = self.rest().get(1..).ok_or(rule)?;
        let (value, _) = inner.split_once(quote).ok_or("a closing quote")?;
        self.skip(value.len() + 2);
        Ok(value.to_owned())
    }

    fn values(&mut self) -> Parsed<BTreeSet<String>> {
        self.expect("{", "a set: { 'a', 'b' }")?;
        let mut values = BTreeSet::new();
        if self.take("}") {
            return Ok(values);
        }
        loop {
            values.insert(self.value()?);
            if self.take("}") {
                return Ok(values);
            }
            self.expect(",", "a comma or a closing brace")?;
        }
    }

    fn expect(&mut self, token: &str, rule: &'static str) -> Parsed<()> {
        if self.take(token) { Ok(()) } else { Err(rule) }
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.skip(token.len());
        }
        found
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
        self.skip_space();
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }
}
