//! What the tests of this directory share: directories, certificates, small servers, a way to wait.

#![allow(dead_code)]

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A directory that goes away with it.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("slipstream-engine-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server's identity, and the file that trusts it.
pub struct Identity {
    pub config: Arc<ServerConfig>,
    pub ca_file: PathBuf,
}

pub fn identity(directory: &TempDir, name: &str) -> Identity {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let ca_file = directory.path(name);
    std::fs::write(&ca_file, cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    Identity { config: Arc::new(config), ca_file }
}

/// A byte stream, encrypted or not.
pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A server on a free port that hands every connection, on a thread of its own, to `serve`.
pub struct Server {
    pub port: u16,
}

impl Server {
    pub fn start(
        identity: Option<&Identity>,
        serve: impl Fn(Box<dyn Stream>, u32) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tls = identity.map(|identity| Arc::clone(&identity.config));
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, tls, serve) = (stream.unwrap(), tls.clone(), Arc::clone(&serve));
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                std::thread::spawn(move || {
                    let stream: Box<dyn Stream> = match tls {
                        Some(config) => {
                            Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream))
                        }
                        None => Box::new(stream),
                    };
                    serve(stream, number as u32);
                });
            }
        });
        Self { port }
    }
}

/// Reads an HTTP request: its head and, by its length, its body.
pub fn read_request(stream: &mut dyn Stream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

/// The key of a WebSocket handshake's request.
pub fn accept_key(head: &str) -> String {
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .expect("a handshake has a key");
    tungstenite::handshake::derive_accept_key(key.trim().as_bytes())
}

/// Answers a WebSocket handshake, with `behind` in the same write.
pub fn answer_handshake(stream: &mut dyn Stream, behind: &[u8]) -> Option<()> {
    let (head, _) = read_request(stream)?;
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(&head)
    )
    .into_bytes();
    answer.extend_from_slice(behind);
    stream.write_all(&answer).ok()?;
    stream.flush().ok()
}

/// A port on which nobody listens.
pub fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again until there is an answer, for at most twenty seconds.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a TCP connection to `port` is taken.
pub fn connects(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A path as text, for configurations.
pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
