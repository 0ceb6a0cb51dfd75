//! A mailbox of one letter: what was written since it was last collected, merged.
//!
//! Between two parts of the daemon where the writer must never wait for the reader and yet nothing may grow without
//! bound: what is merged by key is never larger than the state that it is about.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug)]
struct Shared<T> {
    letter: Mutex<Letter<T>>,
    written: Notify,
}

#[derive(Debug, Default)]
struct Letter<T> {
    text: T,
    is_new: bool,
    is_last: bool,
}

impl<T> Shared<T> {
    fn letter(&self) -> MutexGuard<'_, Letter<T>> {
        self.letter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who writes. Dropping it ends the correspondence.
#[derive(Debug)]
pub(crate) struct Writer<T> {
    shared: Arc<Shared<T>>,
}

/// Who reads.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    shared: Arc<Shared<T>>,
}

/// An empty mailbox.
pub(crate) fn mailbox<T: Default>() -> (Writer<T>, Reader<T>) {
    let shared = Arc::new(Shared { letter: Mutex::default(), written: Notify::new() });
    (Writer { shared: Arc::clone(&shared) }, Reader { shared })
}

impl<T> Writer<T> {
    /// Adds to the letter.
    pub(crate) fn write(&self, add: impl FnOnce(&mut T)) {
        let mut letter = self.shared.letter();
        add(&mut letter.text);
        letter.is_new = true;
        drop(letter);
        self.shared.written.notify_one();
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.shared.letter().is_last = true;
        self.shared.written.notify_one();
    }
}

impl<T: Default> Reader<T> {
    /// Waits until something is written and takes it; `None` once the writer is gone. Safe to drop and call again.
    pub(crate) async fn collect(&mut self) -> Option<T> {
        loop {
            let notified = self.shared.written.notified();
            {
                let mut letter = self.shared.letter();
                if std::mem::take(&mut letter.is_new) {
                    return Some(std::mem::take(&mut letter.text));
                }
                if letter.is_last {
                    return None;
                }
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_between_two_readings_is_one_letter() {
        let (writer, mut reader) = mailbox::<Vec<u8>>();
        writer.write(|text| text.push(1));
        writer.write(|text| text.push(2));
        assert_eq!(reader.collect().await, Some(vec![1, 2]));
        writer.write(|text| text.push(3));
        drop(writer);
        assert_eq!(reader.collect().await, Some(vec![3]), "the last letter is delivered");
        assert_eq!(reader.collect().await, None);
    }
}
