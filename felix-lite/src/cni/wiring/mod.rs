//! Kernel work for pods, on threads of its own: netlink blocks, and the kernel takes one writer at a time anyway.
//!
//! Invariant: whatever is made for a pod is found again by the name of the host's end alone, but for an interface in the underlay, which is
//! in the pod's namespace alone and ends with that at the latest.
//! Not here: host routes and firewall (the engine).

mod check;
mod error;
mod flows;
mod links;
mod reaper;
mod underlay;
mod up;

use std::collections::HashSet;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use cairn_kernel::{Netns, Rtnl};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::journal::Record;
pub(super) use error::WiringError;
pub(super) use flows::Moment;
use reaper::Reaper;

/// More do not help: the kernel's own lock (RTNL) lets one through at a time.
const THREADS: usize = 2;
/// Jobs that may wait for a thread.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Hands) + Send>;

/// What a thread works with.
#[derive(Debug)]
struct Hands {
    /// For the node's namespace.
    rtnl: Rtnl,
    /// The node's namespace, to return to from a pod's.
    home: Netns,
}

/// The threads.
#[derive(Debug)]
pub(super) struct Wiring {
    jobs: mpsc::Sender<Job>,
    reaper: Reaper,
}

impl Wiring {
    /// Starts the threads. They end when this is dropped and their work is done.
    pub(super) fn start() -> Result<Self, cairn_kernel::Error> {
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..THREADS {
            let mut hands = Hands { rtnl: Rtnl::open()?, home: Netns::current()? };
            let queue = Arc::clone(&queue);
            spawn(&format!("cni-wiring-{number}"), move || {
                // The lock is held while waiting for a job, not while doing it.
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                while let Some(job) = next() {
                    job(&mut hands);
                }
            })?;
        }
        Ok(Self { jobs, reaper: Reaper::start()? })
    }

    /// Makes the pair and everything inside the container's namespace. Whatever it made is removed by [`Wiring::remove`] if it fails.
    pub(super) async fn up(&self, record: Arc<Record>, netns: Arc<File>) -> Result<(), WiringError> {
        self.perform(move |hands| up::up(hands, &record, &netns)).await
    }

    /// Compares the kernel with what [`Wiring::up`] made.
    pub(super) async fn check(&self, record: Arc<Record>, netns: Arc<File>) -> Result<(), WiringError> {
        self.perform(move |hands| check::pair(hands, &record, &netns)).await
    }

    /// Takes what a container has in the underlay out of its namespace. What is gone is no error.
    pub(super) async fn detach(&self, record: Arc<Record>, netns: Arc<File>) -> Result<(), WiringError> {
        self.perform(move |hands| underlay::remove(hands, &record, &netns)).await
    }

    /// Gives both ends of a pair another MTU.
    pub(super) async fn resize(
        &self,
        record: Arc<Record>,
        netns: Arc<File>,
        mtu: u32,
    ) -> Result<(), WiringError> {
        self.perform(move |hands| up::resize(hands, &record, &netns, mtu)).await
    }

    /// Do the node's routes lead to the container, and does the firewall let its packets in?
    pub(super) async fn check_node(&self, record: Arc<Record>) -> Result<(), WiringError> {
        self.perform(move |hands| {
            check::host_routes(&mut hands.rtnl, &record)?;
            check::firewall(&record)
        })
        .await
    }

    /// Ends the tracked connections that go where the container's ports of the node no longer lead. What cannot be ended ends by itself.
    pub(super) async fn end_flows(&self, record: &Arc<Record>, moment: Moment) {
        if !flows::concerns(record, moment) {
            return;
        }
        let of = Arc::clone(record);
        let ended = self.perform(move |hands| Ok(flows::end(&mut hands.rtnl, &of, moment)?)).await;
        ended.unwrap_or_else(|error| {
            warn!(attachment = %record.attachment, %error, "connections to ports of the node may go where they went before");
        });
    }

    /// Hands an interface over for deletion. One that is gone is no error.
    pub(super) async fn doom(&self, interface: &str) -> Result<(), WiringError> {
        let interface = interface.to_owned();
        if self.perform(move |hands| links::doom(&mut hands.rtnl, &interface)).await? {
            self.reaper.wake();
        }
        Ok(())
    }

    /// Deletes an interface and waits until it is gone. One that is gone is no error.
    pub(super) async fn remove(&self, interface: &str) -> Result<(), WiringError> {
        let interface = interface.to_owned();
        self.perform(move |hands| links::remove(&mut hands.rtnl, &interface)).await
    }

    /// The names of all workload interfaces, without those that are being deleted.
    pub(super) async fn links(&self) -> Result<HashSet<String>, cairn_kernel::Error> {
        match self.perform(|hands| Ok(links::names(&mut hands.rtnl)?)).await {
            Err(WiringError::Kernel(error)) => Err(error),
            result => Ok(result.unwrap_or_default()),
        }
    }

    async fn perform<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hands) -> Result<T, WiringError> + Send + 'static,
    ) -> Result<T, WiringError> {
        let (answer, reply) = oneshot::channel();
        let job: Job = Box::new(move |hands| {
            // The caller runs to its end; should it be gone after all, the work is done all the same.
            let _ = answer.send(work(hands));
        });
        self.jobs.send(job).await.map_err(|_| WiringError::Stopping)?;
        reply.await.map_err(|_| WiringError::Stopping)?
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), cairn_kernel::Error> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(body);
    started
        .map(drop)
        .map_err(|error| cairn_kernel::Error::refused("start", format_args!("thread {name}"), error))
}

#[cfg(test)]
mod tests;
