//! Makes connections: TCP, TLS, WebSocket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chirrup_protocol::SUBPROTOCOL;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::address::Address;
use crate::error::Error;
use crate::limits::FRAME_BYTES_MAX;

/// What a WebSocket runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A WebSocket that stands.
pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// Knows how to reach one server.
#[derive(Clone)]
pub(crate) struct Dialer {
    address: Address,
    tls: Option<TlsConnector>,
}

impl Dialer {
    /// For a server; its certificate must be of an authority in `ca_file`, or of the system's.
    pub(crate) fn new(address: Address, ca_file: Option<&Path>) -> Result<Self, Error> {
        let tls = if address.secure { Some(TlsConnector::from(Arc::new(tls_config(ca_file)?))) } else { None };
        Ok(Self { address, tls })
    }

    /// Connects; the error is a sentence.
    pub(super) async fn dial(self) -> Result<Socket, String> {
        let authority = self.address.authority();
        let tcp = TcpStream::connect(&authority).await.map_err(|e| format!("{authority}: {e}"))?;
        // Frames that belong together are written together; waiting for more would only delay them.
        tcp.set_nodelay(true).map_err(|e| e.to_string())?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(tls) => {
                let name = ServerName::try_from(self.address.host.clone()).map_err(|e| e.to_string())?;
                Box::new(tls.connect(name, tcp).await.map_err(|e| format!("TLS with {authority}: {e}"))?)
            }
        };
        let mut request = self.address.url().into_client_request().map_err(|e| e.to_string())?;
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
        let connected = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        connected.map(|(socket, _)| socket).map_err(|e| format!("WebSocket with {authority}: {e}"))
    }
}

fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities(ca_file)? {
        // Systems carry authorities that this library does not take; the others do.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        let place = ca_file.map_or_else(|| "on this system".to_owned(), |path| format!("in {}", path.display()));
        return Err(Error::Options(format!("no certificate authority was found {place}")));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Options(format!("failed to set TLS up: {e}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn authorities(ca_file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, Error> {
    let Some(path) = ca_file else { return Ok(rustls_native_certs::load_native_certs().certs) };
    let file = |reason: String| Error::File { path: PathBuf::from(path), reason };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| file(e.to_string()))?;
    certificates.collect::<Result<_, _>>().map_err(|e| file(e.to_string()))
}
