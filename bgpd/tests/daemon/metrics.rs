//! Prometheus metrics over HTTP.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Daemon, World, eventually};

/// Sends a request and reads the answer to its end: head and body.
async fn request(address: SocketAddr, request: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    Ok((head.to_owned(), body.to_owned()))
}

pub(crate) async fn scrape(address: SocketAddr) -> Result<String> {
    let answer = eventually("metrics are served", async || {
        request(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await
    });
    let (head, body) = answer.await?;
    ensure!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    Ok(body)
}

/// The value of a sample.
pub(crate) fn value(text: &str, sample: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {sample} in\n{text}"))?.parse()?)
}

async fn pair(world: &World) -> Result<([Daemon; 2], SocketAddr)> {
    let address = SocketAddr::new(world.address(1), 9179);
    let rest = format!("metrics: {{listen: '{address}'}}\nneighbors:\n{}", world.neighbor(1, 2, ""));
    let mut first = world.start(1, &rest).await?;
    let rest = format!("neighbors:\n{}originate: [{{prefix: 10.2.0.0/24}}]\n", world.neighbor(2, 1, ""));
    let second = world.start(2, &rest).await?;
    first.has(&["10.2.0.0/24"]).await?;
    Ok(([first, second], address))
}

#[tokio::test]
async fn a_scrape_says_what_the_neighbours_and_the_rib_are() -> Result<()> {
    let world = World::new()?;
    let ([first, mut second], address) = pair(&world).await?;
    let peer = world.address(2);
    let text = scrape(address).await?;
    for (sample, expected) in [
        (format!("bgpd_peer_up{{peer=\"{peer}\"}}"), 1.0),
        (format!("bgpd_peer_state{{peer=\"{peer}\"}}"), 6.0),
        (format!("bgpd_peer_flaps_total{{peer=\"{peer}\"}}"), 0.0),
        (format!("bgpd_peer_prefixes_received{{peer=\"{peer}\",family=\"ipv4\"}}"), 1.0),
        (format!("bgpd_peer_prefixes_accepted{{peer=\"{peer}\",family=\"ipv4\"}}"), 1.0),
        ("bgpd_loc_rib_prefixes{family=\"ipv4\"}".to_owned(), 1.0),
        ("bgpd_rib_paths".to_owned(), 1.0),
    ] {
        assert!((value(&text, &sample)? - expected).abs() < f64::EPSILON, "{sample}\n{text}");
    }
    let updates = format!("bgpd_peer_messages_received_total{{peer=\"{peer}\",type=\"update\"}}");
    assert!(value(&text, &updates)? >= 1.0 && value(&text, "bgpd_convergence_seconds_count")? >= 1.0);

    second.client.set_peer_enabled(world.address(1), false, "").await?;
    eventually("the loss shows", async || {
        let text = scrape(address).await?;
        ensure!(value(&text, &format!("bgpd_peer_flaps_total{{peer=\"{peer}\"}}"))? > 0.0, "{text}");
        ensure!(value(&text, "bgpd_loc_rib_prefixes{family=\"ipv4\"}")? < 1.0, "{text}");
        ensure!(text.contains("reason=\"notification_received\",code=\"6\""), "{text}");
        Ok(())
    })
    .await
    .with_context(|| first.log())
}

#[tokio::test]
async fn other_requests_are_refused_and_the_server_follows_the_document() -> Result<()> {
    let world = World::new()?;
    let ([first, _second], address) = pair(&world).await?;
    scrape(address).await?;
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        (&format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(10_000)), "400"),
    ] {
        let (head, _) = request(address, text).await?;
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
    }
    let (head, body) = request(address, "HEAD /metrics HTTP/1.1\r\n\r\n").await?;
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty(), "{head}");
    let path = world.path("1.yaml");
    let elsewhere = SocketAddr::new(world.address(3), 9179);
    let text = std::fs::read_to_string(&path)?.replace(&address.to_string(), &elsewhere.to_string());
    std::fs::write(&path, text)?;
    first.logs("configuration changed").await?;
    scrape(elsewhere).await?;
    assert!(TcpStream::connect(address).await.is_err(), "the old address is given up");
    Ok(())
}

#[tokio::test]
#[ignore = "needs promtool (Debian: prometheus)"]
async fn promtool_finds_no_fault() -> Result<()> {
    let world = World::new()?;
    let (_daemons, address) = pair(&world).await?;
    let text = scrape(address).await?;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool")?;
    std::io::Write::write_all(&mut promtool.stdin.take().context("it has an input")?, text.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
    Ok(())
}
