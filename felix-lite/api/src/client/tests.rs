use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use super::*;
use crate::{Code, Command, Refusal};

const SECOND: Duration = Duration::from_secs(1);

/// A server of one connection, which gets the bytes to answer.
fn serve(name: &str, answer: impl FnOnce() -> Vec<u8> + Send + 'static) -> (Client, impl Sized) {
    let path = std::env::temp_dir().join(format!("felix-api-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; body_len(header).unwrap()];
        stream.read_exact(&mut body).unwrap();
        let request: Request = serde_json::from_slice(&body).unwrap();
        assert_eq!(request, Request { version: 1, command: Command::Status });
        stream.write_all(&answer()).unwrap();
    });
    struct Remove(PathBuf);
    impl Drop for Remove {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
    (Client::new(&path), Remove(path))
}

#[test]
fn a_reply_comes_back() {
    let refusal = Reply::Refused(Refusal::new(Code::NOT_AVAILABLE, "no").because("not yet"));
    let frame = encode(&refusal).unwrap();
    let (client, _guard) = serve("reply", move || frame);
    let netns = std::fs::File::open("/proc/self/ns/net").unwrap();
    assert_eq!(client.call(Command::Status, Some(netns.as_fd()), SECOND).unwrap(), refusal);
}

#[test]
fn no_socket_and_no_listener_are_absence() {
    let client = Client::new("/nonexistent/cni.sock");
    assert!(matches!(client.call(Command::Status, None, SECOND), Err(ClientError::Absent { .. })));
    let path = std::env::temp_dir().join(format!("felix-api-{}-dead", std::process::id()));
    drop(UnixListener::bind(&path).unwrap());
    let result = Client::new(&path).call(Command::Status, None, SECOND);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(result, Err(ClientError::Absent { .. })));
}

#[test]
fn a_silent_server_times_out() {
    let (client, _guard) = serve("silent", || {
        std::thread::sleep(SECOND);
        Vec::new()
    });
    let start = Instant::now();
    let result = client.call(Command::Status, None, Duration::from_millis(50));
    assert!(matches!(result, Err(ClientError::TimedOut { .. })), "{result:?}");
    assert!(start.elapsed() < Duration::from_millis(900));
}

#[test]
fn a_server_that_dies_or_babbles_is_an_error() {
    let (client, _guard) = serve("dies", || vec![0, 0]);
    assert!(matches!(client.call(Command::Status, None, SECOND), Err(ClientError::Io { .. })));
    let (client, _guard) = serve("babbles", || vec![0xff; 8]);
    assert!(matches!(client.call(Command::Status, None, SECOND), Err(ClientError::Frame(_))));
}
