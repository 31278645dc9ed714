//! The administration address: health, metrics, and what the operator of this machine may do. On
//! loopback only; what changes something needs the secret that the server writes at its start.

use std::path::PathBuf;
use std::sync::Arc;

use chirrup_core::aggregate::{Action, AggregateId, Command, Origin, Outcome};
use chirrup_core::hash::Hash;
use chirrup_core::server;
use chirrup_engine::batch::Answer as Decision;
use chirrup_engine::views::Views;
use chirrup_store::kv;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Answer, answer, json, problem, text};
use crate::auth::token;
use crate::backup::{Backups, NotBegun};
use crate::command::Context;
use crate::heap;
use crate::limits::HTTP_BODY_BYTES_MAX;
use crate::machine::Status;

/// What the administration address works with.
pub struct Admin {
    context: Arc<Context>,
    backups: Arc<Backups>,
    /// Of the operator's secret.
    secret: Hash,
}

/// A new code for the first administrator.
#[derive(Debug, Serialize)]
struct FirstCode {
    code: String,
}

/// What a backup is asked with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupOrder {
    /// New or empty, on this machine, from the root on.
    dir: PathBuf,
}

/// Why there is no code.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCode {
    /// There is an administrator: ask them.
    #[error("the server has an administrator: only they can make another")]
    HasAdministrator,
    /// It could not be kept.
    #[error("the code could not be kept: {0}")]
    Refused(String),
}

impl Admin {
    /// An operator shows that they are one by this secret.
    pub fn new(context: Arc<Context>, backups: Arc<Backups>, secret: &str) -> Self {
        Self { context, backups, secret: token::hash(secret) }
    }

    /// Answers one request.
    pub async fn respond(&self, request: Request<Incoming>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/livez") => text(StatusCode::OK, "ok\n"),
            (&Method::GET, "/readyz") => self.ready(),
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::POST, "/first-code" | "/backup") | (&Method::GET, "/backup") if !self.is_operator(&request) => {
                problem(StatusCode::UNAUTHORIZED, "token_invalid", "this needs the secret in the file admin.token of the data directory")
            }
            (&Method::POST, "/first-code") => self.first_code().await,
            (&Method::POST, "/backup") => self.begin_backup(request).await,
            (&Method::GET, "/backup") => json(StatusCode::OK, &self.backups.status()),
            (_, "/livez" | "/readyz" | "/metrics" | "/first-code" | "/backup") => {
                problem(StatusCode::METHOD_NOT_ALLOWED, "bad_request", "this path takes another method")
            }
            _ => problem(StatusCode::NOT_FOUND, "not_found", "there is nothing here"),
        }
    }

    fn ready(&self) -> Answer {
        match self.context.status() {
            Status::Serving => text(StatusCode::OK, "ok\n"),
            Status::Full(how) => text(StatusCode::OK, format!("ok, but the disk is full: only reading and deleting go on ({how})\n")),
            Status::Busy(why) => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("the store does not answer, nothing is written until it does: {why}\n"))
            }
            Status::ReadOnly(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("the store has failed, only reading goes on: {why}\n")),
            Status::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        }
    }

    fn metrics(&self) -> Answer {
        let (metrics, machine) = (&self.context.metrics, &self.context.machine);
        metrics.queue.set(machine.waiting() as u64);
        let store = machine.kv().status();
        metrics.store_full.set(matches!(store, kv::Status::Full(_)).into());
        metrics.store_stopped.set(matches!(store, kv::Status::Stopped(_)).into());
        metrics.store_cache_bytes.set(machine.kv().cache_bytes());
        metrics.sessions.set(machine.router().connections() as u64);
        answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render(heap::live_bytes()))
    }

    /// Whether whoever asks knows the operator's secret.
    fn is_operator(&self, request: &Request<Incoming>) -> bool {
        let given = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
        // Hashes are compared: nothing of the secret is learnt from how long that takes.
        given.map(token::hash) == Some(self.secret)
    }

    /// Begins a backup; how it goes is told to whoever asks.
    async fn begin_backup(&self, request: Request<Incoming>) -> Answer {
        let bad = |why: &str| problem(StatusCode::BAD_REQUEST, "bad_request", why);
        let Ok(body) = Limited::new(request.into_body(), HTTP_BODY_BYTES_MAX).collect().await else {
            return bad("the body did not come, or is too long");
        };
        match serde_json::from_slice::<BackupOrder>(&body.to_bytes()) {
            Ok(order) if order.dir.is_absolute() => match self.backups.start(order.dir) {
                Ok(()) => json(StatusCode::ACCEPTED, &self.backups.status()),
                Err(why @ NotBegun::Busy(_)) => problem(StatusCode::CONFLICT, "busy", &why.to_string()),
                Err(why @ NotBegun::NotEmbedded) => problem(StatusCode::NOT_IMPLEMENTED, "bad_request", &why.to_string()),
            },
            Ok(_) => bad("dir must begin at the root"),
            Err(error) => bad(&error.to_string()),
        }
    }

    async fn first_code(&self) -> Answer {
        match first_code(&self.context).await {
            Ok(code) => json(StatusCode::OK, &FirstCode { code }),
            Err(why @ NoCode::HasAdministrator) => problem(StatusCode::CONFLICT, "forbidden", &why.to_string()),
            Err(why @ NoCode::Refused(_)) => problem(StatusCode::SERVICE_UNAVAILABLE, "storage_failed", &why.to_string()),
        }
    }
}

/// Makes a code for the first administrator, valid for a day; an earlier one is void.
pub async fn first_code(context: &Context) -> Result<String, NoCode> {
    let state = context.machine.read(Views::server).await.map_err(|e| NoCode::Refused(e.to_string()))?;
    if !state.administrators.is_empty() {
        return Err(NoCode::HasAdministrator);
    }
    match context.status() {
        Status::Serving => {}
        Status::Full(why) | Status::Busy(why) | Status::ReadOnly(why) => return Err(NoCode::Refused(why)),
        Status::Stopping => return Err(NoCode::Refused("the server is about to stop".to_owned())),
    }
    let code = token::first_code();
    let action = Action::Server(server::Action::MakeFirstCode { code: token::first_code_hash(&code) });
    let command = Command { aggregate: AggregateId::Server, origin: Origin::Timer, stamp: context.machine.stamp(), action };
    match context.machine.submit(command).await {
        Decision::Decided { outcome: Outcome::Done { .. }, .. } => Ok(code),
        other => Err(NoCode::Refused(format!("{other:?}"))),
    }
}
