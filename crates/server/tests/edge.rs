//! The edge of the server: TLS, and addresses told by proxies.

mod common;

use std::sync::Arc;

use common::{PATIENCE, Server};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_by_tls_if_there_is_a_certificate() {
    let pair = rcgen::generate_simple_self_signed(["chat.example".to_owned()]).expect("a certificate");
    let files = tempfile::tempdir().expect("a directory");
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&cert, pair.cert.pem()).expect("written");
    std::fs::write(&key, pair.signing_key.serialize_pem()).expect("written");
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let server = Server::start(&[("tls.cert", &cert), ("tls.key", &key)]).await;
    assert!(server.info.tls);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let socket = TcpStream::connect(server.info.address).await.expect("connected");
    let name = ServerName::try_from("chat.example").expect("a name");
    let mut stream = connector.connect(name, socket).await.expect("a handshake");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("read");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // Whoever comes without is not answered in clear, and does no harm.
    let mut plain = TcpStream::connect(server.info.address).await.expect("connected");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("in time").expect("read");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.stop().await;
}

/// The first line of the answer to a WebSocket's handshake, and the socket.
async fn handshake(server: &Server, forwarded: &str) -> (String, TcpStream) {
    let mut socket = TcpStream::connect(server.info.address).await.expect("connected");
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: {forwarded}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(tokio::time::timeout(PATIENCE, socket.read_u8()).await.expect("in time").expect("read"));
    }
    (String::from_utf8(line).expect("text"), socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited_by_the_address_that_a_trusted_proxy_tells() {
    let proxied = [
        ("listen.behind_proxy", "true"),
        ("listen.trusted_proxies", "127.0.0.1"),
        ("listen.connections_per_address_max", "1"),
        ("server.sign_up", "open"),
    ];
    let server = Server::start(&proxied).await;
    let (first, socket) = handshake(&server, "203.0.113.1").await;
    assert!(first.starts_with("HTTP/1.1 101"), "{first}");
    let (second, _) = handshake(&server, "198.51.100.9, 203.0.113.1").await;
    assert!(second.starts_with("HTTP/1.1 429"), "{second}");
    let (other, _socket) = handshake(&server, "203.0.113.2").await;
    assert!(other.starts_with("HTTP/1.1 101"), "{other}");
    drop(socket);
    tokio::time::timeout(PATIENCE, async { while !handshake(&server, "203.0.113.1").await.0.starts_with("HTTP/1.1 101") {} })
        .await
        .expect("its place is free again");
    server.stop().await;
}
