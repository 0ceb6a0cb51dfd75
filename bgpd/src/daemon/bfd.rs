//! BFD and the speaker: which sessions there are, and what their changes mean for BGP.

use std::sync::Arc;

use bfd_core::Key;
use bgp_core::speaker::{BfdState, Input};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::Daemon;
use crate::bfd::{News, Report, Wanted};
use crate::transport::Event;

impl Daemon {
    /// Has BFD watch the paths to the neighbours that are configured for it and not down by an operator's word.
    pub(super) fn sync_bfd(&mut self) {
        if let Err(error) = self.bfd.configure(self.wanted_bfd()) {
            error!(%error, "cannot start BFD: its sessions stay down");
        }
    }

    /// The sessions that there should be.
    pub(super) fn wanted_bfd(&self) -> Wanted {
        let sessions = self.running.iter().flat_map(|running| &running.bfd);
        sessions
            .filter(|(peer, _)| self.by_hand.get(*peer).copied().unwrap_or(true))
            .map(|(_, session)| session.clone())
            .collect()
    }

    /// Waits for what BFD has to say.
    pub(super) fn wait_for_bfd(&self) {
        let mailbox = Arc::clone(self.bfd.mailbox());
        self.events.push(async move {
            mailbox.filled().await;
            Event::Bfd
        });
    }

    /// BFD has something to say.
    pub(super) fn bfd_news(&mut self) {
        self.wait_for_bfd();
        for (key, news) in self.bfd.mailbox().take() {
            self.one_bfd_news(key, &news);
        }
    }

    fn one_bfd_news(&mut self, key: Key, news: &News) {
        let peer = key.remote;
        // A session that is saying goodbye concerns nobody any more.
        let known = self.running.as_ref().and_then(|running| running.bfd.get(&peer));
        if known.is_none_or(|current| current.key != key) {
            return;
        }
        if let Some(failure) = news.failure {
            error!(%peer, diagnostic = %failure.diagnostic, remote_state = %failure.remote, "BFD session is down");
            let reason = failure.diagnostic.to_string();
            let state = BfdState::Failed { reason, independent: failure.remote_independent };
            self.handle(Input::Bfd { peer, state });
        }
        let last = news.last;
        let state = if last.is_up() {
            info!(%peer, "BFD session is up");
            BfdState::Up
        } else if last.is_remote_admin_down() {
            warn!(%peer, "the neighbor's operator has taken the BFD session down: BGP is left alone");
            BfdState::AdminDown
        } else {
            BfdState::Down
        };
        self.handle(Input::Bfd { peer, state });
        self.peers.changed(peer);
    }

    /// How the BFD sessions are; `None` if there never was one.
    pub(crate) fn bfd_report(&self) -> Option<oneshot::Receiver<Report>> {
        self.bfd.report()
    }
}
