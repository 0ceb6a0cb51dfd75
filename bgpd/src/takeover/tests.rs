use std::os::fd::AsFd;

use super::*;
use crate::daemon::{Daemon, Handle};
use cairn_net::Families;

#[tokio::test]
async fn nobody_there_is_no_fault() {
    let directory = tempfile::tempdir().unwrap();
    assert!(ask(&directory.path().join("bgpd.sock")).unwrap().is_none());
}

/// A daemon that waits to be asked, without configuration, at this socket.
fn daemon(socket: &Path) -> (tokio::task::JoinHandle<()>, Handle) {
    let listener = listen(socket).unwrap();
    let file = || std::fs::File::open("/dev/null").unwrap().into();
    let parting =
        Parting { grpc: file(), lock: file(), takeover: listener.as_fd().try_clone_to_owned().unwrap() };
    let (daemon, handle) = Daemon::new(Families::NONE, None);
    let served = serve(listener, parting, handle.clone());
    let running = tokio::task::spawn_local(async move {
        let served = tokio::task::spawn_local(served);
        daemon.run().await;
        served.abort();
    });
    (running, handle)
}

async fn asked<T: Send + 'static>(client: impl FnOnce(UnixStream) -> T + Send + 'static) -> T {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bgpd.sock");
    let place = place(&socket);
    tokio::task::LocalSet::new()
        .run_until(async move {
            let (daemon, _handle) = daemon(&socket);
            let talk = move || client(UnixStream::connect(place).unwrap());
            let said = tokio::task::spawn_blocking(talk).await.unwrap();
            assert!(!daemon.is_finished(), "the daemon goes on");
            daemon.abort();
            said
        })
        .await
}

#[tokio::test]
async fn a_daemon_that_cannot_hand_over_says_why_and_goes_on() {
    let said = asked(|mut link| {
        link.write_all(&MAGIC).unwrap();
        link.write_all(&VERSION.to_be_bytes()).unwrap();
        answer(&link).unwrap_err().to_string()
    });
    assert_eq!(said.await, "the other process refuses: the speaker is not configured yet");
}

#[tokio::test]
async fn another_version_is_refused_with_both_numbers() {
    let said = asked(|mut link| {
        link.write_all(&MAGIC).unwrap();
        link.write_all(&7u32.to_be_bytes()).unwrap();
        answer(&link).unwrap_err().to_string()
    })
    .await;
    assert!(said.contains(&format!("version {VERSION}")) && said.contains("not 7"), "{said}");
}

#[tokio::test]
async fn whoever_is_no_bgpd_is_hung_up_on() {
    let said = asked(|mut link| {
        link.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        get::<1>(&link).is_err()
    });
    assert!(said.await);
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_keeps_no_session_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bgpd.sock");
    tokio::task::LocalSet::new()
        .run_until(async move {
            let (running, handle) = daemon(&socket);
            // A try counts if the machine was awake while the silent one was waited for.
            for _ in 0..10 {
                let silent = UnixStream::connect(place(&socket)).unwrap();
                silent.set_nonblocking(true).unwrap();
                let mut turns = 0;
                let is_open =
                    || (&silent).read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
                while is_open() {
                    handle.call(|_daemon| ()).await.unwrap();
                    turns += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                // A daemon that waits for the silent one does two in that time.
                if turns >= 10 {
                    running.abort();
                    return;
                }
            }
            panic!("the daemon stood still while it waited for a silent process");
        })
        .await;
}
