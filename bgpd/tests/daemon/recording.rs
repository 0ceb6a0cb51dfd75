//! MRT files that the daemon writes by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bgpd_api::config::OriginatedRoute;
use bgpd_api::peer::SessionState;
use cairn_net::Prefix;

use crate::world::{Daemon, World, bgpd, eventually};

/// A record: type, subtype, and what follows its header.
type Record = (u16, u16, Vec<u8>);

const STATE_CHANGE_AS4: u16 = 5;
const MESSAGE_AS4: u16 = 4;
const BGP4MP_ET: u16 = 17;
const TABLE_DUMP_V2: u16 = 13;

/// All records of a file.
///
/// # Errors
/// If it does not end with a whole one.
fn records(path: &Path) -> Result<Vec<Record>> {
    let (file, mut found) = (std::fs::read(path)?, Vec::new());
    let mut rest = &file[..];
    while let Some((head, body)) = rest.split_first_chunk::<12>() {
        let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let (body, after) = body.split_at_checked(length).context("a record is cut short")?;
        let number = |place: usize| u16::from_be_bytes([head[place], head[place + 1]]);
        found.push((number(4), number(6), body.to_vec()));
        rest = after;
    }
    ensure!(rest.is_empty(), "{} octets follow the last record", rest.len());
    Ok(found)
}

/// The files of a directory whose names begin with this, by name.
fn files(directory: &Path, begin: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(begin) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The records of all files, one after the other.
fn recorded(directory: &Path) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    for path in files(directory, "updates.")? {
        all.extend(records(&path)?);
    }
    Ok(all)
}

/// A daemon that records, and one that announces a route to it.
async fn pair(world: &World, mrt: &str) -> Result<[Daemon; 2]> {
    let own = "originate: [{prefix: 10.1.0.0/24}, {prefix: '2001:db8:1::/48', nextHop: '2001:db8::1'}]\n";
    let first = world.start(1, &format!("mrt: {mrt}\nneighbors:\n{}{own}", world.neighbor(1, 2, ""))).await?;
    let own = "originate: [{prefix: 10.2.0.0/24, communities: ['65002:7']}]\n";
    let second = world.start(2, &format!("neighbors:\n{}{own}", world.neighbor(2, 1, ""))).await?;
    Ok([first, second])
}

/// What has to be in the files of [`session`].
async fn session(world: &World, directory: &Path, more: &str) -> Result<()> {
    let at = directory.display();
    // One file for all of it, however long the test takes.
    let mrt = format!(
        "{{updates: {{directory: {at}, interval: 604800{more}}}, tables: {{directory: {at}, interval: 1, keep: 2}}}}"
    );
    let [mut first, mut second] = pair(world, &mrt).await?;
    first.has(&["10.1.0.0/24", "10.2.0.0/24", "2001:db8:1::/48"]).await?;
    second.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], false).await?;
    first.has(&["10.1.0.0/24", "10.2.0.0/24", "10.9.0.0/24", "2001:db8:1::/48"]).await?;
    second.client.originate("test", [], true).await?;
    first.has(&["10.1.0.0/24", "10.2.0.0/24", "2001:db8:1::/48"]).await?;
    eventually("a table is whole", async || {
        let tables = files(directory, "rib.")?;
        // The last one has everything; those before may be older than the routes.
        let path = tables.iter().rfind(|path| path.extension().is_some_and(|end| end == "mrt"));
        let table = records(path.context("no table")?)?;
        ensure!(table.len() == 4 && table.iter().all(|record| record.0 == TABLE_DUMP_V2), "{table:?}");
        Ok(())
    })
    .await
    .with_context(|| first.log())?;
    second.signal("TERM")?;
    second.ends().await?;
    eventually("the session is down", async || {
        let state = first.peer(world.address(2)).await?.state;
        ensure!(state != SessionState::Established, "{state}");
        Ok(())
    })
    .await?;
    // What waits is written before it ends.
    first.signal("TERM")?;
    first.ends().await?;
    Ok(())
}

#[tokio::test]
async fn updates_and_states_are_recorded_and_tables_written_at_intervals() -> Result<()> {
    let world = World::new()?;
    let directory = tempfile::tempdir()?;
    session(&world, directory.path(), "").await?;
    let all = recorded(directory.path())?;
    assert!(all.iter().all(|record| record.0 == BGP4MP_ET), "{all:?}");
    let position = |subtype: u16, end: &[u8]| {
        all.iter()
            .position(|record| record.1 == subtype && record.2.ends_with(end))
            .with_context(|| format!("no {end:?}: {all:?}"))
    };
    let up = position(STATE_CHANGE_AS4, &[0, 5, 0, 6])?;
    let learned = position(MESSAGE_AS4, &[24, 10, 2, 0])?;
    let later = position(MESSAGE_AS4, &[24, 10, 9, 0])?;
    // No attributes follow the withdrawn prefix.
    let withdrawn = position(MESSAGE_AS4, &[0, 4, 24, 10, 9, 0, 0, 0])?;
    let down = position(STATE_CHANGE_AS4, &[0, 6, 0, 1])?;
    assert!(up < learned && learned < later && later < withdrawn && withdrawn < down, "{all:?}");
    // AS of the peer, ours, no interface, IPv4, the peer's address.
    let ends =
        [&[0, 0, 0xfd, 0xea, 0, 0, 0xfd, 0xe9, 0, 0, 0, 1][..], &octets(&world, 2), &octets(&world, 1)]
            .concat();
    assert_eq!(all[learned].2[4..24], ends);
    let tables = files(directory.path(), "rib.")?;
    assert!((1..=3).contains(&tables.len()), "two are kept, one may be in the making: {tables:?}");
    Ok(())
}

fn octets(world: &World, host: u8) -> Vec<u8> {
    match world.address(host) {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Announces so many routes, each with attributes of its own.
async fn announce(daemon: &mut Daemon, count: u32, med: u32) -> Result<()> {
    let routes = (0..count).map(|number| {
        let [_, a, b, c] = number.to_be_bytes();
        let prefix = Prefix::host([10, 128 | a, b, c].into());
        OriginatedRoute { med: Some(number + med), ..OriginatedRoute::new(prefix) }
    });
    daemon.client.originate("test", routes, true).await?;
    Ok(())
}

async fn accepted(daemon: &mut Daemon, peer: std::net::IpAddr, count: u64) -> Result<()> {
    let result = eventually("the routes are there", async || {
        let found = daemon.peer(peer).await?.families[0].accepted;
        ensure!(found == count, "{found} of {count}");
        Ok(())
    })
    .await;
    result.with_context(|| daemon.log())
}

#[tokio::test]
async fn files_stay_below_their_size_and_few() -> Result<()> {
    let world = World::new()?;
    let directory = tempfile::tempdir()?;
    let mrt =
        format!("{{updates: {{directory: {}, maxSize: 1048576, keep: 2}}}}", directory.path().display());
    let [mut first, mut second] = pair(&world, &mrt).await?;
    first.established(world.address(2)).await?;
    // More than 90 octets for each.
    announce(&mut second, 40_000, 0).await?;
    accepted(&mut first, world.address(2), 40_001).await?;
    first.signal("TERM")?;
    first.ends().await?;
    let found = files(directory.path(), "updates.")?;
    assert_eq!(found.len(), 2, "{found:?}");
    for path in &found {
        let size = path.metadata()?.len();
        assert!(size <= 1 << 20, "{size}");
        records(path)?;
    }
    let last = records(found.last().context("there are two")?)?;
    assert!(last.iter().all(|record| record.0 == BGP4MP_ET), "{last:?}");
    Ok(())
}

#[tokio::test]
async fn a_directory_that_is_missing_is_named_and_written_to_once_it_is_there() -> Result<()> {
    let world = World::new()?;
    let directory = world.path("later");
    let [mut first, mut second] =
        pair(&world, &format!("{{updates: {{directory: {}}}}}", directory.display())).await?;
    first.has(&["10.1.0.0/24", "10.2.0.0/24", "2001:db8:1::/48"]).await?;
    first.logs("MRT records cannot be written, and are lost").await?;
    std::fs::create_dir(&directory)?;
    second.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], false).await?;
    first.logs("MRT records are written again").await?;
    // Another record may have been the first one that could be written.
    eventually("the announcement is recorded", async || {
        let all = recorded(&directory)?;
        ensure!(all.iter().any(|record| record.2.ends_with(&[24, 10, 9, 0])), "{all:?}");
        Ok(())
    })
    .await?;
    assert_eq!(first.log().matches("MRT records cannot be written").count(), 1, "{}", first.log());
    Ok(())
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_full_disk_costs_records_and_nothing_else() -> Result<()> {
    let world = World::new()?;
    let directory = world.path("small");
    std::fs::create_dir(&directory)?;
    let at = directory.display();
    let rest = format!("mrt: {{updates: {{directory: {at}}}}}\nneighbors:\n{}", world.neighbor(1, 2, ""));
    let config = world.write("1.yaml", &world.document(1, &rest))?;
    let daemon = bgpd(&world.path("1.sock"), Some(&config));
    // A mount namespace of its own: nobody else sees the small disk.
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size=256k none {at} && exec \"$0\" \"$@\"");
    command.args(["--mount", "sh", "-c", &script]).arg(daemon.get_program()).args(daemon.get_args());
    let mut first = Daemon::run(&world, 1, &mut command).await?;
    let mut second = world.start(2, &format!("neighbors:\n{}", world.neighbor(2, 1, ""))).await?;
    let peer = world.address(2);
    first.established(peer).await?;
    announce(&mut second, 10_000, 0).await?;
    accepted(&mut first, peer, 10_000).await?;
    first.logs("No space left on device").await?;
    // The session has not noticed, and goes on.
    announce(&mut second, 9_000, 1).await?;
    accepted(&mut first, peer, 9_000).await?;
    assert_eq!(first.peer(peer).await?.established_count, 1);
    // Only whole records are in the file, and there is room again once it is emptied.
    let inside = PathBuf::from(format!("/proc/{}/root{at}", first.pid()));
    let found = files(&inside, "updates.")?;
    let whole = records(found.first().context("a file was begun")?)?;
    assert!(whole.iter().filter(|record| record.1 == MESSAGE_AS4).count() > 100, "{}", whole.len());
    std::fs::File::options().write(true).open(&found[0])?.set_len(0)?;
    second.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], true).await?;
    first.logs("MRT records are written again").await?;
    Ok(())
}

/// What a program prints that reads the file.
fn read_by(program: &str, arguments: &[&str], path: &Path) -> Result<String> {
    let output =
        Command::new(program).args(arguments).arg(path).output().with_context(|| program.to_owned())?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{text}\n{errors}");
    ensure!(!errors.contains("error") && !errors.contains("unknown"), "{errors}");
    Ok(text.into_owned())
}

#[tokio::test]
#[ignore = "needs bgpdump (Debian: bgpdump)"]
async fn bgpdump_reads_recorded_updates() -> Result<()> {
    for more in ["", ", microseconds: false"] {
        let world = World::new()?;
        let directory = tempfile::tempdir()?;
        session(&world, directory.path(), more).await?;
        let path = files(directory.path(), "updates.")?.pop().context("a file")?;
        let text = read_by("bgpdump", &["-m", "-v"], &path)?;
        let peer = world.address(2);
        for expected in [
            format!("|STATE|{peer}|65002|5|6"),
            format!("|A|{peer}|65002|10.2.0.0/24|65002|IGP|192.0.2.2|"),
            format!("|A|{peer}|65002|10.9.0.0/24|65002|"),
            format!("|W|{peer}|65002|10.9.0.0/24"),
            format!("|STATE|{peer}|65002|6|1"),
            "|65002:7|".to_owned(),
        ] {
            assert!(text.contains(&expected), "no {expected} in\n{text}");
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs mrt-print-all (Debian: mrtparse)"]
async fn mrtparse_reads_tables_and_updates() -> Result<()> {
    let world = World::new()?;
    let directory = tempfile::tempdir()?;
    // Debian's mrtparse 1.6 stumbles over microseconds.
    session(&world, directory.path(), ", microseconds: false").await?;
    let path = files(directory.path(), "updates.")?.pop().context("a file")?;
    let text = read_by("/usr/bin/python3", &["/usr/bin/mrt-print-all"], &path)?;
    for expected in [
        "BGP4MP_STATE_CHANGE_AS4",
        "BGP4MP_MESSAGE_AS4",
        "10.2.0.0/24",
        "10.9.0.0/24",
        "65002:7",
        "Established",
    ] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    let table = files(directory.path(), "rib.")?;
    let path =
        table.iter().find(|path| path.extension().is_some_and(|end| end == "mrt")).context("a table")?;
    let text = read_by("/usr/bin/python3", &["/usr/bin/mrt-print-all"], path)?;
    for expected in ["PEER_INDEX_TABLE", "RIB_IPV6_UNICAST", "2001:db8:1::", "10.1.0.0"] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    Ok(())
}
