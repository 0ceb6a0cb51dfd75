//! Environment variables in the text of a topology file, as containerlab replaces them: `$NAME`, `${NAME}`,
//! `${NAME:-default}` and `${NAME:=default}`. A variable that is not set and has no default stays as it is written.

/// Replaces every variable for which `value` or the text itself has one.
pub(super) fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (reference, after) = reference(rest);
        match reference.and_then(|(name, default)| value(name).filter(|set| !set.is_empty()).or(default)) {
            Some(replacement) => expanded.push_str(&replacement),
            None => {
                expanded.push('$');
                expanded.push_str(&rest[..rest.len() - after.len()]);
            }
        }
        rest = after;
    }
    expanded + rest
}

/// The name and default of the reference that follows a dollar sign, and the text after it.
fn reference(text: &str) -> (Option<(&str, Option<String>)>, &str) {
    if let Some(body) = text.strip_prefix('{') {
        let Some((inside, after)) = body.split_once('}') else { return (None, text) };
        let (name, default) = match inside.split_once(":-").or_else(|| inside.split_once(":=")) {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (inside, None),
        };
        return (is_name(name).then_some((name, default)), after);
    }
    let end =
        text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    (is_name(name).then_some((name, None)), after)
}

fn is_name(name: &str) -> bool {
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    plain && name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn variables_defaults_and_lone_dollars() {
        let value = |name: &str| (name == "A").then(|| "1".to_owned());
        assert_eq!(expand("$A ${A} ${A:-2} ${B:-2} ${B:=3}", value), "1 1 1 2 3");
        assert_eq!(expand("$B ${B} $ $1 ${ x", value), "$B ${B} $ $1 ${ x");
    }
}
