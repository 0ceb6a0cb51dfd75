//! The gRPC server on the Unix socket: checks requests, hands them to the daemon, turns refusals into status codes.

mod policy;
mod request;
mod socket;

use std::pin::Pin;

use bgp_core::speaker::SoftReset;
use bgpd_api::config;
use bgpd_api::proto::bgpd_server::{Bgpd, BgpdServer};
use bgpd_api::proto::{self, soft_reset_request::Direction};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tracing::error;

use crate::daemon::{ApplyError, Daemon, Handle, Query, Refused, Stopped, bfd_pages};
pub(crate) use socket::{Socket, SocketError};

/// Largest request. A whole set of 100,000 originated routes fits.
const MAX_REQUEST: usize = 32 << 20;

/// Serves until the socket breaks or the task is dropped.
pub(crate) async fn serve(socket: tokio::net::UnixListener, service: Service) {
    let service = BgpdServer::new(service).max_decoding_message_size(MAX_REQUEST);
    let incoming = UnixListenerStream::new(socket);
    if let Err(error) = tonic::transport::Server::builder().serve_with_incoming(service, incoming).await {
        error!(%error, "the gRPC server ended");
    }
}

/// The service.
pub(crate) struct Service {
    daemon: Handle,
    /// The configuration file decides, so `Apply` does not.
    file: Option<String>,
}

impl Service {
    pub(crate) fn new(daemon: Handle, file: Option<String>) -> Self {
        Self { daemon, file }
    }
}

/// Neighbours that wait for a slow reader at most.
const PEERS: usize = 64;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A receiver as a stream of answers.
fn answers<T: Send + 'static, M: From<T> + 'static>(
    receiver: tokio::sync::mpsc::Receiver<T>,
) -> Response<Answers<M>> {
    Response::new(Box::pin(ReceiverStream::new(receiver).map(|message| Ok(message.into()))))
}

fn stopped(error: Stopped) -> Status {
    Status::unavailable(error.to_string())
}

fn refused(error: Refused) -> Status {
    match error {
        Refused::UnknownPeer(_) => Status::not_found(error.to_string()),
        Refused::NotConfigured | Refused::NoSession(_) => Status::failed_precondition(error.to_string()),
    }
}

fn not_applied(error: &ApplyError) -> Status {
    Status::failed_precondition(error.to_string())
}

#[tonic::async_trait]
impl Bgpd for Service {
    async fn apply(
        &self,
        request: Request<proto::ApplyRequest>,
    ) -> Result<Response<proto::ApplyResponse>, Status> {
        let proto::ApplyRequest { document, dry_run } = request.into_inner();
        let config =
            config::load(&document, "Apply").map_err(|error| Status::invalid_argument(error.to_string()))?;
        if dry_run {
            let changes = self.daemon.call(move |daemon| daemon.preview(&config)).await.map_err(stopped)?;
            return Ok(Response::new(proto::ApplyResponse { changes }));
        }
        if let Some(file) = &self.file {
            return Err(Status::failed_precondition(format!(
                "bgpd was started with --config {file}: change that file, it is applied at once"
            )));
        }
        let applied = self.daemon.call(move |daemon| daemon.apply(config, "Apply")).await.map_err(stopped)?;
        let changes = applied.map_err(|error| not_applied(&error))?;
        Ok(Response::new(proto::ApplyResponse { changes }))
    }

    async fn get_config(
        &self,
        _: Request<proto::GetConfigRequest>,
    ) -> Result<Response<proto::GetConfigResponse>, Status> {
        let Some((config, source)) = self.daemon.call(|daemon| daemon.config()).await.map_err(stopped)?
        else {
            return Ok(Response::new(Default::default()));
        };
        let document = serde_json::to_string(&config).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(proto::GetConfigResponse { document, source }))
    }

    async fn get_status(
        &self,
        _: Request<proto::GetStatusRequest>,
    ) -> Result<Response<proto::GetStatusResponse>, Status> {
        let status = self.daemon.call(|daemon| daemon.status()).await.map_err(stopped)?;
        Ok(Response::new(status.into()))
    }

    type ListPeersStream = Answers<proto::Peer>;

    async fn list_peers(
        &self,
        request: Request<proto::ListPeersRequest>,
    ) -> Result<Response<Self::ListPeersStream>, Status> {
        let only = request::optional_peer(&request.get_ref().address)?;
        if let Some(addr) = only {
            let peer = self.daemon.call(move |daemon| daemon.peer(addr)).await.map_err(stopped)?;
            let peer = peer.ok_or(Refused::UnknownPeer(addr)).map_err(refused)?;
            return Ok(Response::new(Box::pin(tokio_stream::once(Ok(peer.into())))));
        }
        let (sender, receiver) = tokio::sync::mpsc::channel(PEERS);
        let daemon = self.daemon.clone();
        // Page by page, each in a turn of the daemon's own, as fast as the reader takes them.
        tokio::spawn(async move {
            let mut last = None;
            loop {
                let page = match daemon.call(move |daemon| daemon.peers_after(last)).await {
                    Ok(page) => page,
                    Err(error) => {
                        // Who has gone need not know.
                        let _ = sender.send(Err(stopped(error))).await;
                        return;
                    }
                };
                let Some(end) = page.last() else { return };
                last = Some(end.address);
                for peer in page {
                    if sender.send(Ok(peer.into())).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type WatchPeersStream = Answers<proto::PeerEvent>;

    async fn watch_peers(
        &self,
        _: Request<proto::WatchPeersRequest>,
    ) -> Result<Response<Self::WatchPeersStream>, Status> {
        Ok(answers(self.daemon.call(Daemon::watch_peers).await.map_err(stopped)?))
    }

    async fn list_peer_events(
        &self,
        request: Request<proto::ListPeerEventsRequest>,
    ) -> Result<Response<proto::ListPeerEventsResponse>, Status> {
        let peer = request::peer(&request.get_ref().address)?;
        let events = self.daemon.call(move |daemon| daemon.peer_events(peer)).await.map_err(stopped)?;
        let events = events.map_err(refused)?.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListPeerEventsResponse { events }))
    }

    async fn set_peer_enabled(
        &self,
        request: Request<proto::SetPeerEnabledRequest>,
    ) -> Result<Response<proto::SetPeerEnabledResponse>, Status> {
        let proto::SetPeerEnabledRequest { address, enabled, text } = request.into_inner();
        let (peer, text) = (request::peer(&address)?, request::text(text)?);
        let done = self.daemon.call(move |daemon| daemon.set_peer_enabled(peer, enabled, text)).await;
        done.map_err(stopped)?.map_err(refused)?;
        Ok(Response::new(Default::default()))
    }

    async fn reset_peer(
        &self,
        request: Request<proto::ResetPeerRequest>,
    ) -> Result<Response<proto::ResetPeerResponse>, Status> {
        let proto::ResetPeerRequest { address, text } = request.into_inner();
        let (peer, text) = (request::peer(&address)?, request::text(text)?);
        let done = self.daemon.call(move |daemon| daemon.reset_peer(peer, text)).await;
        done.map_err(stopped)?.map_err(refused)?;
        Ok(Response::new(Default::default()))
    }

    async fn soft_reset(
        &self,
        request: Request<proto::SoftResetRequest>,
    ) -> Result<Response<proto::SoftResetResponse>, Status> {
        let request = request.get_ref();
        let peer = request::optional_peer(&request.address)?;
        let way = match Direction::try_from(request.direction) {
            Ok(Direction::In) => SoftReset::In,
            Ok(Direction::Out) => SoftReset::Out,
            Ok(Direction::Both) => SoftReset::Both,
            Ok(Direction::Unspecified) | Err(_) => {
                return Err(Status::invalid_argument(format!(
                    "direction: {}: must be in, out or both",
                    request.direction
                )));
            }
        };
        let done = self.daemon.call(move |daemon| daemon.soft_reset(peer, way)).await;
        done.map_err(stopped)?.map_err(refused)?;
        Ok(Response::new(Default::default()))
    }

    type WatchRoutesStream = Answers<proto::WatchRoutesResponse>;

    async fn watch_routes(
        &self,
        request: Request<proto::WatchRoutesRequest>,
    ) -> Result<Response<Self::WatchRoutesStream>, Status> {
        let families = request::families(&request.get_ref().families)?;
        Ok(answers(
            self.daemon.call(move |daemon| daemon.watch_routes(families, false)).await.map_err(stopped)?,
        ))
    }

    type ListRoutesStream = Answers<proto::ListRoutesResponse>;

    async fn list_routes(
        &self,
        request: Request<proto::ListRoutesRequest>,
    ) -> Result<Response<Self::ListRoutesStream>, Status> {
        let query: Query = request::query(request.get_ref())?;
        let list = self.daemon.call(move |daemon| daemon.list_routes(query)).await.map_err(stopped)?;
        Ok(answers(list.map_err(refused)?))
    }

    type DumpTableStream = Answers<proto::DumpTableResponse>;

    async fn dump_table(
        &self,
        _: Request<proto::DumpTableRequest>,
    ) -> Result<Response<Self::DumpTableStream>, Status> {
        let dump = self.daemon.call(Daemon::dump_table).await.map_err(stopped)?;
        Ok(answers(dump.map_err(refused)?))
    }

    async fn originate(
        &self,
        request: Request<proto::OriginateRequest>,
    ) -> Result<Response<proto::OriginateResponse>, Status> {
        let proto::OriginateRequest { owner, routes, replace } = request.into_inner();
        let owner = request::owner(owner)?;
        let routes = request::routes(&routes)?;
        self.daemon.call(move |daemon| daemon.originate(owner, &routes, replace)).await.map_err(stopped)?;
        Ok(Response::new(Default::default()))
    }

    async fn withdraw(
        &self,
        request: Request<proto::WithdrawRequest>,
    ) -> Result<Response<proto::WithdrawResponse>, Status> {
        let proto::WithdrawRequest { owner, prefixes } = request.into_inner();
        let owner = request::owner(owner)?;
        let prefixes = request::prefixes(&prefixes)?;
        self.daemon.call(move |daemon| daemon.withdraw(owner, prefixes)).await.map_err(stopped)?;
        Ok(Response::new(Default::default()))
    }

    async fn list_policies(
        &self,
        request: Request<proto::ListPoliciesRequest>,
    ) -> Result<Response<proto::ListPoliciesResponse>, Status> {
        self.list_policies_call(request.get_ref()).await
    }

    async fn reset_policy_counters(
        &self,
        request: Request<proto::ResetPolicyCountersRequest>,
    ) -> Result<Response<proto::ResetPolicyCountersResponse>, Status> {
        self.reset_policy_counters_call(request.get_ref()).await
    }

    async fn explain_policy(
        &self,
        request: Request<proto::ExplainPolicyRequest>,
    ) -> Result<Response<proto::ExplainPolicyResponse>, Status> {
        self.explain_policy_call(request.get_ref()).await
    }

    type TestPolicyStream = Answers<proto::TestPolicyResponse>;

    async fn test_policy(
        &self,
        request: Request<proto::TestPolicyRequest>,
    ) -> Result<Response<Self::TestPolicyStream>, Status> {
        self.test_policy_call(request.get_ref()).await
    }

    type ListBfdSessionsStream = Answers<proto::ListBfdSessionsResponse>;

    async fn list_bfd_sessions(
        &self,
        request: Request<proto::ListBfdSessionsRequest>,
    ) -> Result<Response<Self::ListBfdSessionsStream>, Status> {
        let only = request::optional_peer(&request.get_ref().peer)?;
        let pending = self.daemon.call(|daemon| daemon.bfd_report()).await.map_err(stopped)?;
        // The thread may have ended meanwhile; then there are none.
        let report = match pending {
            Some(pending) => pending.await.ok(),
            None => None,
        };
        let pages: Vec<_> = bfd_pages(report, only).into_iter().map(|page| Ok(page.into())).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pages))))
    }

    type ListNextHopsStream = Answers<proto::ListNextHopsResponse>;

    async fn list_next_hops(
        &self,
        request: Request<proto::ListNextHopsRequest>,
    ) -> Result<Response<Self::ListNextHopsStream>, Status> {
        let only = request::optional_peer(&request.get_ref().address)?;
        let daemon = self.daemon.clone();
        // Each page is made when the one before it was taken.
        let pages = futures_util::stream::unfold(Some(None), move |at| {
            let daemon = daemon.clone();
            async move {
                let after = at?;
                match daemon.call(move |daemon| daemon.next_hop_page(after, only)).await {
                    Ok((page, next)) => Some((Ok(page.into()), next.map(Some))),
                    Err(error) => Some((Err(stopped(error)), None)),
                }
            }
        });
        Ok(Response::new(Box::pin(pages)))
    }

    async fn shutdown(
        &self,
        request: Request<proto::ShutdownRequest>,
    ) -> Result<Response<proto::ShutdownResponse>, Status> {
        let text = request::text(request.into_inner().text)?;
        self.daemon.call(move |daemon| daemon.shut_down(text)).await.map_err(stopped)?;
        Ok(Response::new(Default::default()))
    }
}
