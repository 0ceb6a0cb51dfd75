//! What the chart takes from `deploy` as it is: the list of plugins, and all accounts and rights, so that there is no second place where these
//! are said. Copies rather than links, for archives of a tree and what reads charts from them leave links out (docs/adr/0042).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// The chart.
pub(super) const DIRECTORY: &str = "deploy/chart/cairn";

/// Files of `deploy` with accounts and rights, and the template that each becomes.
const ACCESS: [(&str, &str); 2] =
    [("access.yaml", "access.yaml"), ("controller.yaml", "controller-access.yaml")];

/// Kinds that are a matter of the chart's values: their templates are written by hand.
const CHOSEN: [&str; 2] = ["Deployment", "PodDisruptionBudget"];

/// What manifests call the namespace; in a chart it is the release's.
const NAMESPACE: &str = "cairn-system";

/// Path below the root and text of every copy.
pub(super) fn files() -> Result<Vec<(PathBuf, String)>> {
    let read = |name: &str| {
        let path = workspace::root().join("deploy").join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let chart = Path::new(DIRECTORY);
    let list = "10-cairn.conflist";
    let mut files = vec![(chart.join("files").join(list), read(list)?)];
    for (source, template) in ACCESS {
        let text = access(source, &read(source)?).with_context(|| format!("deploy/{source}"))?;
        files.push((chart.join("templates").join(template), text));
    }
    Ok(files)
}

/// The objects of a file that are nobody's choice, as a template.
fn access(source: &str, manifests: &str) -> Result<String> {
    ensure!(!manifests.contains("{{"), "`{{{{` would be an action of a template");
    let chosen = |part: &str| {
        CHOSEN.iter().any(|kind| part.lines().any(|line| line.strip_prefix("kind: ") == Some(kind)))
    };
    let parts: Vec<&str> =
        manifests.split("\n---\n").map(str::trim_end).filter(|part| !chosen(part)).collect();
    let text = parts.join("\n---\n").replace(NAMESPACE, "{{ .Release.Namespace }}");
    Ok(format!("{{{{- /* Made of deploy/{source} by `cargo xtask gen`. */}}}}\n{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_left_out_and_the_namespace_is_the_releases() {
        let manifests = "kind: Role\nin: cairn-system\n---\nkind: Deployment\n---\nkind: RoleBinding\n";
        let template = "{{- /* Made of deploy/x.yaml by `cargo xtask gen`. */}}\n\
            kind: Role\nin: {{ .Release.Namespace }}\n---\nkind: RoleBinding\n";
        assert_eq!(access("x.yaml", manifests).unwrap(), template);
        assert!(access("x.yaml", "kind: Role\nname: '{{ x }}'\n").is_err());
    }

    #[test]
    fn every_copy_is_of_this_tree() {
        let files = files().unwrap();
        assert_eq!(files.len(), 3);
        for (path, text) in files {
            assert!(!text.contains(NAMESPACE) && text.len() > 50, "{}", path.display());
        }
    }
}
