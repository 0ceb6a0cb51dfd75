//! The table as an MRT file.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::world::{Daemon, World};

/// A dump of two routes of the first daemon's own and a learned one.
async fn dump(world: &World) -> Result<(Vec<u8>, [Daemon; 2])> {
    let own = "originate: [{prefix: 10.1.0.0/24}, {prefix: '2001:db8:1::/48', nextHop: '2001:db8::1'}]\n";
    let mut first = world.start(1, &format!("neighbors:\n{}{own}", world.neighbor(1, 2, ""))).await?;
    let own = "originate: [{prefix: 10.2.0.0/24, communities: ['65002:7']}]\n";
    let second = world.start(2, &format!("neighbors:\n{}{own}", world.neighbor(2, 1, ""))).await?;
    first.has(&["10.1.0.0/24", "10.2.0.0/24", "2001:db8:1::/48"]).await?;
    let (mut file, mut stream) = (Vec::new(), first.client.dump_table().await?);
    while let Some(piece) = stream.next().await? {
        file.extend(piece.0);
    }
    Ok((file, [first, second]))
}

#[tokio::test]
async fn a_dump_is_an_index_of_peers_and_a_record_for_each_prefix() -> Result<()> {
    let world = World::new()?;
    let (file, _daemons) = dump(&world).await?;
    let (mut rest, mut subtypes) = (&file[..], Vec::new());
    while let Some((head, body)) = rest.split_first_chunk::<12>() {
        assert_eq!(head[4..6], [0, 13], "TABLE_DUMP_V2");
        subtypes.push(head[7]);
        let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        rest = body.get(length..).context("a record is cut short")?;
    }
    assert!(rest.is_empty());
    assert_eq!(subtypes.first(), Some(&1));
    subtypes.sort_unstable();
    assert_eq!(subtypes, [1, 2, 2, 4]);
    Ok(())
}

#[tokio::test]
#[ignore = "needs bgpdump (Debian: bgpdump)"]
async fn bgpdump_reads_the_file() -> Result<()> {
    let world = World::new()?;
    let (file, _daemons) = dump(&world).await?;
    let path = world.path("table.mrt");
    std::fs::write(&path, file)?;
    let output = Command::new("bgpdump").args(["-m", "-v"]).arg(&path).output().context("bgpdump")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let peer = world.address(2);
    for expected in [
        format!("|B|{peer}|65002|10.2.0.0/24|65002|IGP|192.0.2.2|"),
        "|2001:db8:1::/48||IGP|2001:db8::1|".to_owned(),
        "|10.1.0.0/24||IGP|".to_owned(),
        "|65002:7|".to_owned(),
    ] {
        assert!(text.contains(&expected), "no {expected} in\n{text}");
    }
    assert_eq!(text.lines().count(), 3, "{text}");
    Ok(())
}
