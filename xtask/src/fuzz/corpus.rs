//! Inputs of fuzz targets as files: what people wrote, and what fuzzing has learned, in the repository and before libFuzzer.
//!
//! `learned.lines` holds an input in hex on each line, the shortest first, so that a change of it can be read as a difference.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The file of what fuzzing has learned, among the seeds.
const LEARNED: &str = "learned.lines";
/// Longest such file, in octets. The longest inputs are left out: they mostly reach what several short ones do.
const MOST: usize = 256 << 10;
/// Begins the name of a seed before libFuzzer, which names what it finds by a hash.
const SEED: &str = "seed-";

/// Which inputs of the repository.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// Without what fuzzing has learned.
    ByHand,
}

/// Writes the seeds as octets into the corpus; returns how many there are.
pub(super) fn plant(seeds: &Path, corpus: &Path, which: Which) -> Result<usize> {
    fs::create_dir_all(corpus)?;
    let mut count = 0;
    let mut write = |octets: &[u8]| {
        count += 1;
        fs::write(corpus.join(format!("{SEED}{count}")), octets)
    };
    for entry in fs::read_dir(seeds).with_context(|| format!("cannot read {}", seeds.display()))? {
        let path = entry?.path();
        if which == Which::ByHand && path.ends_with(LEARNED) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let not_hex = || format!("{} is not hex", path.display());
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("hex") => write(&octets(&text).with_context(not_hex)?)?,
            Some("lines") => {
                for line in text.lines() {
                    write(&octets(line).with_context(not_hex)?)?;
                }
            }
            Some("txt") => text.lines().try_for_each(|line| write(line.as_bytes()))?,
            _ => write(text.as_bytes())?,
        }
    }
    Ok(count)
}

/// Makes what libFuzzer has put beside the seeds of a corpus the file of what was learned; returns how many inputs that are. Without any there
/// is no file.
pub(super) fn write(corpus: &Path, seeds: &Path) -> Result<usize> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(corpus)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(SEED) {
            inputs.push(fs::read(entry.path())?);
        }
    }
    // No line can say that there is nothing.
    inputs.retain(|input| !input.is_empty());
    inputs.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    let (mut text, mut kept) = (String::new(), 0);
    for input in &inputs {
        if text.len() + 2 * input.len() >= MOST {
            break;
        }
        kept += 1;
        for octet in input {
            write!(text, "{octet:02x}")?;
        }
        text.push('\n');
    }
    let file = seeds.join(LEARNED);
    if !text.is_empty() {
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    } else if file.exists() {
        fs::remove_file(&file)?;
    }
    Ok(kept)
}

/// Octets of hex digits; blanks and `#` comments are passed over.
fn octets(text: &str) -> Result<Vec<u8>> {
    let code = text.lines().filter_map(|line| line.split('#').next());
    let digits: Vec<char> = code.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
    let octet = |pair: &[char]| Ok(u8::from_str_radix(&pair.iter().collect::<String>(), 16)?);
    digits.chunks(2).map(octet).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{LEARNED, MOST, Which, plant, write};

    #[test]
    fn what_was_learned_is_planted_again_and_written_without_the_seeds() {
        let directory = tempfile::tempdir().expect("a directory");
        let (seeds, corpus) = (directory.path().join("seeds"), directory.path().join("corpus"));
        fs::create_dir_all(&seeds).expect("a directory");
        fs::write(seeds.join("one.hex"), "01 02 # two octets\n").expect("a seed");
        assert_eq!(plant(&seeds, &corpus, Which::All).expect("planted"), 1);
        let long = vec![1; MOST / 2];
        let learned: [(&str, &[u8]); 4] =
            [("b", &[7, 7, 7]), ("a", &[255]), ("nothing", &[]), ("long", &long)];
        for (name, input) in learned {
            fs::write(corpus.join(name), input).expect("what libFuzzer writes");
        }
        assert_eq!(write(&corpus, &seeds).expect("written"), 2);
        assert_eq!(fs::read_to_string(seeds.join(LEARNED)).expect("learned"), "ff\n070707\n");
        assert_eq!(plant(&seeds, &corpus, Which::All).expect("planted"), 3);
        assert_eq!(plant(&seeds, &corpus, Which::ByHand).expect("planted"), 1);
    }
}
