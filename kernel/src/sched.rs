//! How urgent a thread is.
#![allow(unsafe_code)]

use std::fmt;
use std::io;

/// What a thread got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// SCHED_FIFO with this priority: runs before everything that is not real-time.
    RealTime(i32),
    /// The usual policy with this nice value: a larger share.
    Nice(i32),
    /// As every other thread.
    Usual,
}

impl fmt::Display for Urgency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RealTime(priority) => write!(f, "SCHED_FIFO {priority}"),
            Self::Nice(value) => write!(f, "nice {value}"),
            Self::Usual => f.write_str("usual"),
        }
    }
}

/// Makes the calling thread as urgent as the system allows: real-time, else nice, else as it is. Threads and processes that it
/// starts do not inherit real-time. With less than was asked for comes the system's reason.
pub fn raise(priority: i32, nice: i32) -> (Urgency, Option<io::Error>) {
    let parameter = libc::sched_param { sched_priority: priority };
    // The system call itself, for one C library has only an empty function for it.
    // SAFETY: the call reads one structure, which lives through it; 0 is the calling thread.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameter,
        )
    };
    if result == 0 {
        return (Urgency::RealTime(priority), None);
    }
    let refused = io::Error::last_os_error();
    // SAFETY: no pointers; 0 is the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    (if result == 0 { Urgency::Nice(nice) } else { Urgency::Usual }, Some(refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_told_what_it_got_and_the_reason_if_that_is_less() {
        let got = std::thread::spawn(|| raise(1, -5)).join().unwrap();
        match got {
            (Urgency::RealTime(1), None) => {}
            (Urgency::Nice(-5) | Urgency::Usual, Some(error)) => {
                assert!(matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}
