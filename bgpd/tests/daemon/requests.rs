//! Requests that are not what the schema says.

use anyhow::Result;
use bgpd_api::proto::bgpd_client::BgpdClient;
use bgpd_api::proto::{self, Table};
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::world::{Daemon, World};

/// A client that lets anything through.
async fn raw(daemon: &Daemon) -> Result<BgpdClient<Channel>> {
    let socket = daemon.socket.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    Ok(BgpdClient::new(Endpoint::from_static("http://x.invalid").connect_with_connector(connector).await?))
}

fn prefix(address: &[u8], length: u32) -> proto::Prefix {
    proto::Prefix { address: address.to_vec().into(), length }
}

#[tokio::test]
async fn a_request_that_is_not_valid_is_refused_with_field_value_and_rule() -> Result<()> {
    let world = World::new()?;
    let daemon = world.start(1, "").await?;
    let mut client = raw(&daemon).await?;
    let mut refusals = Vec::new();
    for (owner, wanted) in [
        ("", prefix(&[10, 0, 0, 0], 8)),
        ("config", prefix(&[10, 0, 0, 0], 8)),
        ("x", prefix(&[10, 0, 0, 1], 8)),
        ("x", prefix(&[10, 0, 0, 0], 300)),
        ("x", prefix(&[10, 0, 0], 8)),
    ] {
        let routes = vec![proto::OriginatedRoute { prefix: Some(wanted), ..Default::default() }];
        let request = proto::OriginateRequest { owner: owner.to_owned(), routes, replace: false };
        refusals.push(client.originate(request).await.unwrap_err());
    }
    let request = proto::ListRoutesRequest { table: Table::AdjRibIn.into(), ..Default::default() };
    refusals.push(client.list_routes(request).await.unwrap_err());
    refusals.push(
        client.list_routes(proto::ListRoutesRequest { table: 77, ..Default::default() }).await.unwrap_err(),
    );
    for wrong in [
        proto::ListRoutesRequest { longer_prefixes: true, ..Default::default() },
        proto::ListRoutesRequest {
            prefix: Some(prefix(&[10, 0, 0, 0], 8)),
            longer_prefixes: true,
            shorter_prefixes: true,
            ..Default::default()
        },
        proto::ListRoutesRequest { communities: vec!["1:2:3:4".to_owned()], ..Default::default() },
        proto::ListRoutesRequest { as_path: Some("65001 ^".to_owned()), ..Default::default() },
        proto::ListRoutesRequest { from: vec![1, 2].into(), ..Default::default() },
    ] {
        let request = proto::ListRoutesRequest { table: Table::LocRib.into(), ..wrong };
        refusals.push(client.list_routes(request).await.unwrap_err());
    }
    refusals.push(client.watch_routes(proto::WatchRoutesRequest { families: vec![9] }).await.unwrap_err());
    refusals.push(client.soft_reset(proto::SoftResetRequest::default()).await.unwrap_err());
    // RFC 9003 has room for 255 octets.
    let with_text = |len: usize| proto::SetPeerEnabledRequest {
        address: vec![127; 4].into(),
        enabled: true,
        text: "x".repeat(len),
    };
    refusals.push(client.set_peer_enabled(with_text(256)).await.unwrap_err());
    assert_eq!(client.set_peer_enabled(with_text(255)).await.unwrap_err().code(), Code::NotFound);
    for refusal in &refusals {
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
        assert!(refusal.message().contains(": "), "{refusal}");
    }
    let request = proto::ResetPeerRequest { address: vec![9; 4].into(), text: String::new() };
    let refusal = client.reset_peer(request).await.unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.message()),
        (Code::NotFound, "neighbor 9.9.9.9: no such neighbor is configured")
    );
    Ok(())
}
