//! A client of a bgpd on this machine.
//!
//! Every call is one request; a lost connection shows as [`ClientError::Call`] with `unavailable()`, and the next call
//! connects anew. A stream that ends must be begun again by its reader.

mod policy;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cairn_net::{Families, Family, Prefix};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status as GrpcStatus, Streaming};
use tower::service_fn;

use crate::bfd::BfdPage;
use crate::config::{AsPathPattern, Community, Config, OriginatedRoute};
use crate::convert::{FieldError, address_bytes, family_numbers};
use crate::next_hop::NextHopPage;
use crate::peer::{HistoryEvent, Peer, PeerEvent, Status};
use crate::proto::bgpd_client::BgpdClient;
use crate::proto::{self, soft_reset_request::Direction};
use crate::route::{RoutePage, RouteUpdate, Table, TableDump};

pub use policy::TestStream;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No connection to the socket.
    #[error("cannot reach bgpd at {path}: {reason}", path = path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The daemon refused the call, or the connection broke.
    #[error("{}", .0.message())]
    Call(Box<GrpcStatus>),
    /// The answer is not what the schema says.
    #[error("answer of bgpd not understood: {0}")]
    Answer(#[from] FieldError),
    /// A document cannot be written as JSON.
    #[error("cannot encode the document: {0}")]
    Encode(#[from] serde_json::Error),
}

impl ClientError {
    /// True where it makes sense to try again later: the daemon is away, or restarting.
    pub fn unavailable(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Call(status) => {
                matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown)
            }
            Self::Answer(_) | Self::Encode(_) => false,
        }
    }
}

impl From<GrpcStatus> for ClientError {
    fn from(status: GrpcStatus) -> Self {
        Self::Call(Box::new(status))
    }
}

/// Which way a soft reset goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftReset {
    /// The neighbour sends its routes again.
    In,
    /// The neighbour is sent all routes again.
    Out,
    /// Both.
    Both,
}

/// What [`Client::list_routes`] asks for. Whatever is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteQuery {
    /// Which table.
    pub table: Table,
    /// Only this family.
    pub family: Option<Family>,
    /// Only this prefix.
    pub prefix: Option<Prefix>,
    /// Other prefixes beside it.
    pub scope: PrefixScope,
    /// Only paths from this neighbour.
    pub from: Option<IpAddr>,
    /// Only paths that carry all of these.
    pub communities: Vec<Community>,
    /// Only paths whose whole AS path matches.
    pub as_path: Option<AsPathPattern>,
    /// Only best paths.
    pub best_only: bool,
}

/// What goes with the prefix of a [`RouteQuery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrefixScope {
    /// Nothing.
    #[default]
    Exact,
    /// Whatever it covers.
    Longer,
    /// Whatever covers it.
    Shorter,
}

impl RouteQuery {
    /// A whole table.
    pub const fn all(table: Table) -> Self {
        Self {
            table,
            family: None,
            prefix: None,
            scope: PrefixScope::Exact,
            from: None,
            communities: Vec::new(),
            as_path: None,
            best_only: false,
        }
    }
}

/// A connection to a bgpd. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: BgpdClient<Channel>,
}

impl Client {
    /// Connects to the daemon's socket.
    ///
    /// # Errors
    /// If nobody listens there, or it may not be opened.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref().to_owned();
        // The endpoint's address is never looked up: the connector goes to the socket.
        let endpoint = Endpoint::from_static("http://bgpd.invalid");
        let socket = path.clone();
        let connector = service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = endpoint
            .connect_with_connector(connector)
            .await
            .map_err(|error| ClientError::Connect { path, reason: innermost(&error) })?;
        // Lists come in messages of bounded size, but the document's size is its author's business.
        let inner = BgpdClient::new(channel).max_decoding_message_size(crate::config::MAX_DOCUMENT + 4096);
        Ok(Self { inner })
    }

    /// Makes a document the daemon's configuration. Gives one line for each thing that changed.
    ///
    /// # Errors
    /// If the document is refused, or the daemon has its configuration from a file.
    pub async fn apply(&mut self, config: &Config) -> Result<Vec<String>, ClientError> {
        self.apply_document(serde_json::to_string(config)?, false).await
    }

    /// As [`Client::apply`], for a YAML or JSON text. With `dry_run` it is only checked and compared.
    ///
    /// # Errors
    /// As [`Client::apply`].
    pub async fn apply_document(
        &mut self,
        document: String,
        dry_run: bool,
    ) -> Result<Vec<String>, ClientError> {
        let request = proto::ApplyRequest { document, dry_run };
        Ok(self.inner.apply(request).await?.into_inner().changes)
    }

    /// The configuration in force as JSON, and where it comes from. Passwords are hidden.
    ///
    /// # Errors
    /// Only if the daemon cannot be reached.
    pub async fn config(&mut self) -> Result<(String, String), ClientError> {
        let answer = self.inner.get_config(proto::GetConfigRequest {}).await?.into_inner();
        Ok((answer.document, answer.source))
    }

    /// The daemon as a whole.
    ///
    /// # Errors
    /// Only if the daemon cannot be reached.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        Ok(self.inner.get_status(proto::GetStatusRequest {}).await?.into_inner().try_into()?)
    }

    /// The neighbours in the order of their addresses, or one of them.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub async fn list_peers(&mut self, peer: Option<IpAddr>) -> Result<PeerStream, ClientError> {
        let address = peer.map(address_bytes).unwrap_or_default();
        Ok(Stream::new(self.inner.list_peers(proto::ListPeersRequest { address }).await?.into_inner()))
    }

    /// What happened to a neighbour, the oldest first.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub async fn list_peer_events(&mut self, peer: IpAddr) -> Result<Vec<HistoryEvent>, ClientError> {
        let request = proto::ListPeerEventsRequest { address: address_bytes(peer) };
        let events = self.inner.list_peer_events(request).await?.into_inner().events;
        Ok(events.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// Every neighbour as it is, then each change.
    ///
    /// # Errors
    /// Only if the daemon cannot be reached.
    pub async fn watch_peers(&mut self) -> Result<PeerEventStream, ClientError> {
        Ok(Stream::new(self.inner.watch_peers(proto::WatchPeersRequest {}).await?.into_inner()))
    }

    /// Puts a neighbour up or down by hand. `text` is told to its operator (RFC 9003).
    ///
    /// # Errors
    /// If there is no such neighbour, or the text has more than 255 octets.
    pub async fn set_peer_enabled(
        &mut self,
        peer: IpAddr,
        enabled: bool,
        text: &str,
    ) -> Result<(), ClientError> {
        let (address, text) = (address_bytes(peer), text.to_owned());
        self.inner.set_peer_enabled(proto::SetPeerEnabledRequest { address, enabled, text }).await?;
        Ok(())
    }

    /// Ends a session and lets it begin again. `text` is told to its operator (RFC 9003).
    ///
    /// # Errors
    /// If there is no such neighbour, or the text has more than 255 octets.
    pub async fn reset_peer(&mut self, peer: IpAddr, text: &str) -> Result<(), ClientError> {
        let (address, text) = (address_bytes(peer), text.to_owned());
        self.inner.reset_peer(proto::ResetPeerRequest { address, text }).await?;
        Ok(())
    }

    /// Asks a neighbour (`None`: all) for its routes again, or sends ours again.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub async fn soft_reset(&mut self, peer: Option<IpAddr>, way: SoftReset) -> Result<(), ClientError> {
        let direction = match way {
            SoftReset::In => Direction::In,
            SoftReset::Out => Direction::Out,
            SoftReset::Both => Direction::Both,
        };
        let address = peer.map(address_bytes).unwrap_or_default();
        self.inner.soft_reset(proto::SoftResetRequest { address, direction: direction.into() }).await?;
        Ok(())
    }

    /// The Loc-RIB as it is, then its changes. A reader that is slow gets fewer and newer changes, never more memory.
    ///
    /// # Errors
    /// Only if the daemon cannot be reached.
    pub async fn watch_routes(&mut self, families: Families) -> Result<RouteUpdateStream, ClientError> {
        let request = proto::WatchRoutesRequest { families: family_numbers(families) };
        Ok(Stream::new(self.inner.watch_routes(request).await?.into_inner()))
    }

    /// A table in pages. The order of prefixes is arbitrary; the paths of a prefix come together, the best one first.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub async fn list_routes(&mut self, query: RouteQuery) -> Result<RoutePageStream, ClientError> {
        let request = proto::ListRoutesRequest {
            table: proto::Table::from(query.table).into(),
            peer: query.table.peer().map(address_bytes).unwrap_or_default(),
            family: query.family.map_or(proto::Family::Unspecified, Into::into).into(),
            prefix: query.prefix.map(Into::into),
            longer_prefixes: query.scope == PrefixScope::Longer,
            shorter_prefixes: query.scope == PrefixScope::Shorter,
            from: query.from.map(address_bytes).unwrap_or_default(),
            communities: query.communities.iter().map(ToString::to_string).collect(),
            as_path: query.as_path.map(|pattern| pattern.to_string()),
            best_only: query.best_only,
        };
        Ok(Stream::new(self.inner.list_routes(request).await?.into_inner()))
    }

    /// The whole table as MRT records (RFC 6396): the pieces, one after the other, are a file.
    ///
    /// # Errors
    /// If there is no configuration yet.
    pub async fn dump_table(&mut self) -> Result<TableDumpStream, ClientError> {
        Ok(Stream::new(self.inner.dump_table(proto::DumpTableRequest {}).await?.into_inner()))
    }

    /// Announces routes in the name of an owner. With `replace`, whatever the owner had and does not name is withdrawn. Before
    /// the first Apply routes wait for it: who restarts gracefully names its routes first.
    ///
    /// All routes travel in one message, so that the replacement is one step: about 100,000 fit.
    ///
    /// # Errors
    /// If a field is not valid.
    pub async fn originate(
        &mut self,
        owner: &str,
        routes: impl IntoIterator<Item = OriginatedRoute>,
        replace: bool,
    ) -> Result<(), ClientError> {
        let routes = routes.into_iter().map(Into::into).collect();
        let request = proto::OriginateRequest { owner: owner.to_owned(), routes, replace };
        self.inner.originate(request).await?;
        Ok(())
    }

    /// Withdraws prefixes of an owner. What it does not originate is ignored.
    ///
    /// # Errors
    /// If a field is not valid.
    pub async fn withdraw(
        &mut self,
        owner: &str,
        prefixes: impl IntoIterator<Item = Prefix>,
    ) -> Result<(), ClientError> {
        let prefixes = prefixes.into_iter().map(Into::into).collect();
        self.inner.withdraw(proto::WithdrawRequest { owner: owner.to_owned(), prefixes }).await?;
        Ok(())
    }

    /// The BFD sessions in pages, or that with one neighbour. The first page comes even if it is empty.
    ///
    /// # Errors
    /// Only if the daemon cannot be reached.
    pub async fn list_bfd_sessions(&mut self, peer: Option<IpAddr>) -> Result<BfdPageStream, ClientError> {
        let request = proto::ListBfdSessionsRequest { peer: peer.map(address_bytes).unwrap_or_default() };
        Ok(Stream::new(self.inner.list_bfd_sessions(request).await?.into_inner()))
    }

    /// The next hops of learned paths in pages, or only one. The first page comes even if it is empty.
    ///
    /// # Errors
    /// Only if the daemon cannot be reached.
    pub async fn list_next_hops(
        &mut self,
        address: Option<IpAddr>,
    ) -> Result<NextHopPageStream, ClientError> {
        let request = proto::ListNextHopsRequest { address: address.map(address_bytes).unwrap_or_default() };
        Ok(Stream::new(self.inner.list_next_hops(request).await?.into_inner()))
    }

    /// Ends the daemon as SIGTERM does.
    ///
    /// # Errors
    /// If it cannot be reached, or the text has more than 255 octets.
    pub async fn shutdown(&mut self, text: &str) -> Result<(), ClientError> {
        self.inner.shutdown(proto::ShutdownRequest { text: text.to_owned() }).await?;
        Ok(())
    }
}

/// BFD sessions in pages.
pub type BfdPageStream = Stream<proto::ListBfdSessionsResponse, BfdPage>;
/// Next hops in pages.
pub type NextHopPageStream = Stream<proto::ListNextHopsResponse, NextHopPage>;
/// Neighbours.
pub type PeerStream = Stream<proto::Peer, Peer>;
/// Changes of neighbours.
pub type PeerEventStream = Stream<proto::PeerEvent, PeerEvent>;
/// Changes of the Loc-RIB.
pub type RouteUpdateStream = Stream<proto::WatchRoutesResponse, RouteUpdate>;
/// A table dump in pieces.
pub type TableDumpStream = Stream<proto::DumpTableResponse, TableDump>;
/// A table in pages.
pub type RoutePageStream = Stream<proto::ListRoutesResponse, RoutePage>;

/// Answers that come one after the other: `M` on the wire, `T` here.
pub struct Stream<M, T> {
    inner: Streaming<M>,
    convert: fn(M) -> Result<T, FieldError>,
}

impl<M, T: TryFrom<M, Error = FieldError>> Stream<M, T> {
    fn new(inner: Streaming<M>) -> Self {
        Self { inner, convert: T::try_from }
    }
}

impl<M, T> Stream<M, T> {
    /// The next one; `None` at the end. Cancel-safe: to be used in `select!`.
    ///
    /// # Errors
    /// If the stream breaks, for example because the daemon ends.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        let message = self.inner.message().await?;
        Ok(message.map(self.convert).transpose()?)
    }
}

impl<M, T> fmt::Debug for Stream<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// The last cause of an error: `No such file or directory` rather than `transport error`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
