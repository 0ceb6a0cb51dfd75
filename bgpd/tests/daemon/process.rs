//! The program: command line, exit codes, signals.

use std::io::Read;
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use bgpd_api::peer::SessionState;

use crate::world::{World, bgpd, eventually};

#[test]
fn check_prints_a_valid_file_and_refuses_others() -> Result<()> {
    let world = World::new()?;
    let good = world.write("good.yaml", &world.document(1, ""))?;
    let bad = world.write("bad.yaml", "routerId: 10.0.0.1\nlocalAs: 65001\nlisten: {port: 0}\n")?;
    let check = |path: &std::path::Path| {
        std::process::Command::new(env!("CARGO_BIN_EXE_bgpd")).arg("check").arg(path).output()
    };
    let output = check(&good)?;
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout)?.contains("localAs: 65001"));
    let output = check(&bad)?;
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8(output.stderr)?.contains("bad.yaml:3:16: listen.port: 0: a port is 1 to 65535")
    );
    assert_eq!(check(&world.path("nowhere.yaml"))?.status.code(), Some(1));
    Ok(())
}

#[test]
fn a_daemon_does_not_start_with_an_invalid_file() -> Result<()> {
    let world = World::new()?;
    let bad = world.write("bad.yaml", "routerId: 10.0.0.1\n")?;
    let output = bgpd(&world.path("x.sock"), Some(&bad)).output()?;
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr)?.contains("missing field `localAs`"));
    Ok(())
}

#[tokio::test]
async fn a_second_daemon_with_the_same_socket_is_refused() -> Result<()> {
    let world = World::new()?;
    let first = world.start(1, "").await?;
    let output = bgpd(&first.socket, None).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr)?.contains("another bgpd is running with this socket"));
    Ok(())
}

#[tokio::test]
async fn sigterm_ends_the_daemon_and_its_socket() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, "").await?;
    first.signal("TERM")?;
    assert!(first.ends().await?.success());
    assert!(!first.socket.exists());
    Ok(())
}

/// What the neighbour sees when a daemon is stopped.
async fn last_error_after_stop(mode: &str) -> Result<(String, u64)> {
    let world = World::new()?;
    let document = |host: u8, other: u8| {
        format!(
            "neighbors:\n{}onShutdown: {mode}\noriginate: [{{prefix: 10.{host}.0.0/24}}]\n",
            world.neighbor(host, other, "")
        )
    };
    let mut first = world.start(1, &document(1, 2)).await?;
    let mut second = world.start(2, &document(2, 1)).await?;
    second.has(&["10.1.0.0/24", "10.2.0.0/24"]).await?;
    first.signal("TERM")?;
    first.ends().await?;
    eventually("the session is down", async || {
        let peer = second.peer(world.address(1)).await?;
        ensure!(peer.state != SessionState::Established, "it is up");
        Ok((peer.last_error.clone(), peer.families[0].stale))
    })
    .await
}

#[tokio::test]
async fn a_cease_makes_the_neighbor_drop_the_routes() -> Result<()> {
    let (error, stale) = last_error_after_stop("cease").await?;
    assert!(error.contains("Cease"), "{error}");
    assert_eq!(stale, 0);
    Ok(())
}

#[tokio::test]
async fn a_graceful_stop_leaves_the_routes_with_the_neighbor() -> Result<()> {
    let (_, stale) = last_error_after_stop("graceful-restart").await?;
    assert_eq!(stale, 1);
    Ok(())
}

#[test]
fn a_taken_port_is_named() -> Result<()> {
    let world = World::new()?;
    let _taken = TcpListener::bind((world.address(1), world.port))?;
    let file = world.write("1.yaml", &world.document(1, ""))?;
    let mut child = bgpd(&world.path("1.sock"), Some(&file)).stderr(std::process::Stdio::piped()).spawn()?;
    let mut text = String::new();
    child.stderr.take().context("stderr is piped")?.read_to_string(&mut text)?;
    assert_eq!(child.wait()?.code(), Some(1));
    assert!(text.contains(&format!("cannot listen on {}:{}", world.address(1), world.port)), "{text}");
    Ok(())
}
