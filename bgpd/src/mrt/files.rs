//! Files that follow each other in a directory: their names, and which of them stay.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bgpd_api::config::FilePattern;

/// Names that are tried where the right one is taken, as by files of the same second.
const NAMES: u32 = 10_000;
/// The end of the name of a file that is not whole yet.
const PART: &str = ".part";

/// The files of one pattern in one directory.
#[derive(Debug, Clone)]
pub(super) struct Files {
    directory: PathBuf,
    pattern: FilePattern,
    keep: usize,
}

impl Files {
    pub(super) fn new(directory: &Path, pattern: FilePattern, keep: u32) -> Self {
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        Self { directory: directory.to_owned(), pattern, keep }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a file that grows under its name, after removing those that are too many with it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn begin(&self, seconds: u64) -> io::Result<File> {
        self.make_room()?;
        self.free_name(seconds, |path| {
            // Appending: what is cut off after a failure leaves no hole.
            File::options().append(true).create_new(true).open(path)
        })
    }

    /// Makes a file that gets its name once it is whole.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn begin_part(&self, seconds: u64) -> io::Result<PartFile> {
        self.remove_parts()?;
        let path = self.directory.join(self.pattern.render(seconds) + PART);
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(PartFile { files: self.clone(), seconds, path, file: io::BufWriter::new(file) })
    }

    /// The first free name of that time: the pattern's, then with `.1`, `.2` and so on behind it.
    fn free_name<T>(&self, seconds: u64, mut take: impl FnMut(&Path) -> io::Result<T>) -> io::Result<T> {
        let name = self.pattern.render(seconds);
        let mut path = self.directory.join(&name);
        for number in 1..NAMES {
            match take(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    path = self.directory.join(format!("{name}.{number}"));
                }
                result => return result,
            }
        }
        take(&path)
    }

    /// Is it one of these files?
    fn is_ours(&self, name: &str) -> bool {
        let numbered = |name: &str| {
            let (head, number) = name.rsplit_once('.')?;
            let number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            (number && self.pattern.matches(head)).then_some(())
        };
        self.pattern.matches(name) || numbered(name).is_some()
    }

    /// Removes the oldest files, so that one more is not too many.
    fn make_room(&self) -> io::Result<()> {
        let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| self.is_ours(name)) {
                // One that is gone meanwhile need not be removed.
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_file() {
                    found.push((metadata.modified()?, entry.path()));
                }
            }
        }
        found.sort_unstable();
        let surplus = (found.len() + 1).saturating_sub(self.keep);
        for (_, path) in found.iter().take(surplus) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Removes what an end in the middle has left.
    fn remove_parts(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name
                .to_str()
                .and_then(|name| name.strip_suffix(PART))
                .is_some_and(|name| self.pattern.matches(name))
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A file that is not whole yet; removed when dropped before [`PartFile::finish`].
pub(super) struct PartFile {
    files: Files,
    seconds: u64,
    path: PathBuf,
    file: io::BufWriter<File>,
}

impl PartFile {
    /// Adds to it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)
    }

    /// Gives it its name, after removing those that are too many with it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.files.make_room()?;
        self.files.free_name(self.seconds, |path| match path.try_exists()? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(&self.path, path),
        })
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // It has its name already, or the next one tries again.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn age(path: &Path, seconds: u64) {
        let time = SystemTime::now() - std::time::Duration::from_secs(seconds);
        File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_taken_name_gets_a_number_and_the_oldest_files_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let files = Files::new(path, "up.%s".parse().unwrap(), 3);
        for other in ["up.x", "rib.1", "up.1.part", "up.1.x"] {
            fs::write(path.join(other), "not ours").unwrap();
        }
        for seconds in [7, 7, 8, 9, 9] {
            files.begin(seconds).unwrap();
            for (place, name) in names(path).iter().filter(|name| files.is_ours(name)).enumerate() {
                age(&path.join(name), 100 - u64::try_from(place).unwrap());
            }
        }
        assert_eq!(names(path), ["rib.1", "up.1.part", "up.1.x", "up.8", "up.9", "up.9.1", "up.x"]);
    }

    #[test]
    fn a_table_has_its_name_only_once_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let files = Files::new(path, "rib.%s".parse().unwrap(), 2);
        fs::write(path.join("rib.3.part"), "left behind").unwrap();
        let mut file = files.begin_part(7).unwrap();
        file.write(b"abc").unwrap();
        assert_eq!(names(path), ["rib.7.part"]);
        file.finish().unwrap();
        drop(files.begin_part(8).unwrap());
        assert_eq!(names(path), ["rib.7"]);
        assert_eq!(fs::read(path.join("rib.7")).unwrap(), b"abc");
        files.begin_part(7).unwrap().finish().unwrap();
        assert_eq!(names(path), ["rib.7", "rib.7.1"]);
    }
}
