//! The server as a whole: opens the store, starts the machine, listens, and stops in order. The
//! only place that sees everything.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chirrup_store::embedded::EmbeddedKv;
use chirrup_store::embedded::file::is_no_room;
use chirrup_store::kv::Kv;
pub use chirrup_stores::STORE_DIR;
use chirrup_stores::{OpenError, StoreName};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::token;
use crate::backup::Backups;
use crate::command::Context;
use crate::config::Config;
use crate::edge;
use crate::gateway::Gateway;
use crate::http::admin::{Admin, NoCode, first_code};
use crate::http::{self};
use crate::limits::{ACCEPT_BACKLOG, ADMIN_CONNECTIONS_MAX, RECONNECT_LEAST_MS, RECONNECT_SPREAD_MS};
use crate::machine::{self, Machine};
use crate::metrics::Metrics;
use crate::tls::{self, TlsError};

/// The file in the data directory that holds the operator's secret while the server runs.
pub const TOKEN_FILE: &str = "admin.token";
/// The file in the data directory that tells where the server listens.
pub const SERVE_FILE: &str = "serve.json";

/// Why the server did not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be used.
    #[error("failed to write in the data directory {path}: {source}")]
    DataDir {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error("failed to open the store: {0}")]
    Open(#[from] OpenError),
    /// The store cannot be served.
    #[error(transparent)]
    Recover(#[from] chirrup_engine::recovery::RecoveryError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system does not let signals be heard.
    #[error("failed to hear signals: {0}")]
    Signals(io::Error),
    /// A second signal came before the server had stopped.
    #[error("stopped at once by a second signal")]
    Interrupted,
}

/// What is known once the server is ready.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// For clients.
    pub address: SocketAddr,
    /// For the operator.
    pub admin_address: SocketAddr,
    /// Whether clients come by TLS.
    pub tls: bool,
    /// Whether anybody may open an account.
    pub sign_up_open: bool,
    /// By which the first administrator becomes one, if there is none yet: for the operator's
    /// terminal only.
    pub first_code: Option<String>,
}

/// What [`SERVE_FILE`] holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServeFile {
    /// For clients.
    pub address: SocketAddr,
    /// For the operator.
    pub admin_address: SocketAddr,
    /// Whether clients come by TLS.
    pub tls: bool,
    /// Of the process.
    pub pid: u32,
}

/// Serves until SIGTERM or SIGINT, then stops in order. `on_ready` is called once clients are
/// taken.
pub async fn serve(config: Config, on_ready: impl FnOnce(ServerInfo)) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let stop = CancellationToken::new();
    let serving = serve_until(config, stop.clone(), on_ready);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            served = &mut serving => return served,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            return Err(ServeError::Interrupted);
        }
        stop.cancel();
    }
}

/// Serves until `stop`.
pub async fn serve_until(config: Config, stop: CancellationToken, on_ready: impl FnOnce(ServerInfo)) -> Result<(), ServeError> {
    let server = Server::start(config).await?;
    on_ready(server.info().await?);
    stop.cancelled().await;
    server.stop().await;
    Ok(())
}

/// A running server.
struct Server {
    config: Config,
    context: Arc<Context>,
    backups: Arc<Backups>,
    gateway: Arc<Gateway>,
    address: SocketAddr,
    admin_address: SocketAddr,
    /// Ends the accepting of connections.
    no_more: CancellationToken,
    /// Ends everything else.
    end: CancellationToken,
    accepting: TaskTracker,
    others: TaskTracker,
}

impl Server {
    async fn start(config: Config) -> Result<Self, ServeError> {
        let acceptor = config.tls_files().map(|(cert, key)| tls::acceptor(cert, key)).transpose()?;
        let (listener, admin_listener) = (listen(config.listen.address)?, listen(config.listen.admin_address)?);
        let address = local(&listener, config.listen.address)?;
        let admin_address = local(&admin_listener, config.listen.admin_address)?;
        let secret = token::operator();
        let metrics = Arc::new(Metrics::default());
        let (machine, kv) = open(&config, Arc::clone(&metrics)).await?;
        let serve_file = ServeFile { address, admin_address, tls: acceptor.is_some(), pid: std::process::id() };
        match write_files(&config.server.data_dir, &secret, &serve_file) {
            // On a full disk there is reading and deleting all the same.
            Err(ServeError::DataDir { path, source }) if is_no_room(&source) => {
                tracing::warn!(path = %path.display(), "no room: commands of the operator do not find the server until its next start");
            }
            written => written?,
        }
        let context = Arc::new(Context::new(machine, metrics, &config));
        let gateway = Gateway::new(Arc::clone(&context), config.clone(), acceptor);
        let (no_more, end) = (CancellationToken::new(), CancellationToken::new());
        let (accepting, others) = (TaskTracker::new(), TaskTracker::new());
        accepting.spawn(Arc::clone(&gateway).accept(listener, no_more.clone()));
        let backups = Backups::new(kv);
        let admin = Arc::new(Admin::new(Arc::clone(&context), Arc::clone(&backups), &secret));
        others.spawn(administer(admin, admin_listener, end.clone()));
        Ok(Self { config, context, backups, gateway, address, admin_address, no_more, end, accepting, others })
    }

    async fn info(&self) -> Result<ServerInfo, ServeError> {
        let first_code = match first_code(&self.context).await {
            Ok(code) => Some(code),
            Err(NoCode::HasAdministrator) => None,
            Err(why @ NoCode::Refused(_)) => {
                tracing::warn!(%why, "there is no code for the first administrator");
                None
            }
        };
        Ok(ServerInfo {
            address: self.address,
            admin_address: self.admin_address,
            tls: self.config.tls_files().is_some(),
            sign_up_open: self.config.sign_up_open(),
            first_code,
        })
    }

    /// Takes nobody any more, tells everybody when to come back, answers what was asked, writes
    /// what waits, and ends.
    async fn stop(self) {
        tracing::info!("stopping");
        self.context.announce_stop();
        self.no_more.cancel();
        self.accepting.close();
        self.accepting.wait().await;
        self.context.machine.router().reconnect_all(RECONNECT_LEAST_MS, RECONNECT_SPREAD_MS, edge::below(u64::MAX));
        self.gateway.drain().await;
        self.backups.stop().await;
        self.end.cancel();
        self.others.close();
        self.others.wait().await;
        let machine = Arc::clone(&self.context.machine);
        if tokio::task::spawn_blocking(move || machine.stop()).await.is_err() {
            tracing::error!("the machine did not stop well");
        }
        for file in [TOKEN_FILE, SERVE_FILE] {
            // Of use only while the server runs; a next start overwrites them.
            let _ = std::fs::remove_file(self.config.server.data_dir.join(file));
        }
        tracing::info!("stopped");
    }
}

/// Opens the store and starts the machine, on a thread that may block.
async fn open(config: &Config, metrics: Arc<Metrics>) -> Result<(Arc<Machine>, Option<Arc<EmbeddedKv>>), ServeError> {
    let (dir, session) = (config.server.data_dir.clone(), config.session.clone());
    let name = config.store_name().expect("the configuration was checked");
    let holder = format!("chirrup serve, process {}, at {}", std::process::id(), config.listen.address);
    let options = chirrup_stores::Options { embedded: config.store_options(), ..chirrup_stores::Options::new(holder) };
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&dir).map_err(|source| ServeError::DataDir { path: dir.clone(), source })?;
        let (kv, embedded): (Arc<dyn Kv>, _) = if let StoreName::Embedded(data) = &name {
            let kv = Arc::new(chirrup_stores::open_embedded(data, &options.embedded)?);
            (Arc::clone(&kv) as _, Some(kv))
        } else {
            (chirrup_stores::open_or_make(&name, &options)?, None)
        };
        let options = machine::Options { merge: Duration::from_millis(session.merge_ms), presence_grace_ms: session.grace_ms };
        Ok((Machine::start(kv, options, metrics)?, embedded))
    });
    match opened.await {
        Ok(opened) => opened,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for the sockets of the process before.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(ACCEPT_BACKLOG)
    };
    listen().map_err(|source| ServeError::Listen { address, source })
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, ServeError> {
    listener.local_addr().map_err(|source| ServeError::Listen { address, source })
}

/// Tells commands on this machine where the server is, and how the operator is known.
fn write_files(dir: &Path, secret: &str, serve: &ServeFile) -> Result<(), ServeError> {
    let serve = serde_json::to_vec_pretty(serve).expect("addresses are writable as JSON");
    for (name, mode, content) in [(TOKEN_FILE, 0o600, secret.as_bytes()), (SERVE_FILE, 0o644, &serve)] {
        let path = dir.join(name);
        replace(&path, mode, content).map_err(|source| ServeError::DataDir { path, source })?;
    }
    Ok(())
}

/// Writes a file that is whole whenever it is there, and never readable by more than `mode` says.
fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = path.with_extension("new");
    if let Err(error) = std::fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(content)?;
    std::fs::rename(new, path)
}

/// Serves the administration address.
async fn administer(admin: Arc<Admin>, listener: TcpListener, end: CancellationToken) {
    let places = Arc::new(tokio::sync::Semaphore::new(ADMIN_CONNECTIONS_MAX));
    let tasks = TaskTracker::new();
    while let Some(accepted) = end.run_until_cancelled(listener.accept()).await {
        let (Ok((socket, _)), Ok(place)) = (accepted, Arc::clone(&places).try_acquire_owned()) else {
            tokio::task::yield_now().await;
            continue;
        };
        let (admin, end) = (Arc::clone(&admin), end.clone());
        tasks.spawn(async move {
            let _place = place;
            end.run_until_cancelled(http::serve(socket, |request| admin.respond(request))).await;
        });
    }
    tasks.close();
    tasks.wait().await;
}
