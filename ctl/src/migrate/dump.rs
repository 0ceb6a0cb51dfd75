//! Reading dumps: files, directories, the standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use cairn_api::load;
use serde_json::Value;

use crate::Error;

/// What is read of a directory.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// All documents of all dumps, in the order of the command line, those of a directory in the order of their names.
pub(super) fn read(dumps: &[PathBuf]) -> Result<Vec<Value>, Error> {
    let mut documents = Vec::new();
    for path in dumps {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|source| file("-", source))?;
            documents.extend(parse("standard input", &text)?);
        } else {
            for path in files(path)? {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(&path).map_err(|source| file(&name, source))?;
                documents.extend(parse(&name, &text)?);
            }
        }
    }
    Ok(documents)
}

fn parse(name: &str, text: &str) -> Result<Vec<Value>, Error> {
    load::dump(name, text).map_err(|error| Error::Answer(error.to_string()))
}

fn file(path: &str, source: std::io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}

/// A file alone, or all that is below a directory.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| file(&path.display().to_string(), source);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let is_dump =
            entry.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known));
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else if is_dump {
            found.push(entry);
        }
    }
    Ok(found)
}
