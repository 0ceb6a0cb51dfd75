//! How others reach the daemon.

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::Daemon;

/// Something to be done by the daemon, between two events.
pub(super) type Job = Box<dyn FnOnce(&mut Daemon) + Send>;

/// The daemon has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("bgpd is shutting down")]
pub(crate) struct Stopped;

/// Reaches the daemon from any task. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    jobs: mpsc::Sender<Job>,
}

impl Handle {
    pub(super) fn new(capacity: usize) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, receiver) = mpsc::channel(capacity);
        (Self { jobs }, receiver)
    }

    /// Has something done by the daemon and gives the result. Waits while too much waits already.
    ///
    /// # Errors
    /// If the daemon has ended.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Daemon) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (job, result) = answered(work);
        self.jobs.send(job).await.map_err(|_| Stopped)?;
        result.await.map_err(|_| Stopped)
    }

    /// As [`Handle::call`], for a thread that may wait.
    ///
    /// # Errors
    /// If the daemon has ended.
    pub(crate) fn call_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Daemon) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (job, result) = answered(work);
        self.jobs.blocking_send(job).map_err(|_| Stopped)?;
        result.blocking_recv().map_err(|_| Stopped)
    }
}

/// Work as a job, and where its result will be.
fn answered<T: Send + 'static>(
    work: impl FnOnce(&mut Daemon) -> T + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (answer, result) = oneshot::channel();
    let job: Job = Box::new(move |daemon| {
        // A caller that has gone does not want the answer.
        let _ = answer.send(work(daemon));
    });
    (job, result)
}
