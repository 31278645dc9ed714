//! HTTP, as far as both addresses share it: answers, problems (RFC 9457), addresses of clients,
//! and the serving of one socket.
//!
//! Must not know: what is behind a path.

pub mod admin;
pub mod forwarded;

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::limits::{HTTP_CONNECTION_MS, HTTP_HEADER_BYTES_MAX, HTTP_HEADER_MS};

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// An answer of this kind that nobody keeps.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Plain text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", text)
}

/// JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("answers are writable as JSON");
    answer(status, "application/json", body)
}

/// An error, as `application/problem+json`. `code` is stable, `detail` is for people.
pub fn problem(status: StatusCode, code: &'static str, detail: &str) -> Answer {
    #[derive(Serialize)]
    struct Problem<'a> {
        title: &'a str,
        status: u16,
        code: &'a str,
        detail: &'a str,
    }
    let title = status.canonical_reason().unwrap_or("error");
    let body = serde_json::to_vec(&Problem { title, status: status.as_u16(), code, detail }).expect("a problem is writable as JSON");
    answer(status, "application/problem+json", body)
}

/// Serves one socket until it is closed, becomes something else, or its time is over.
pub async fn serve<S, F>(socket: S, respond: impl Fn(Request<Incoming>) -> F + Send)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Answer> + Send,
{
    let service = service_fn(|request| {
        let answer = respond(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HTTP_HEADER_MS))
        .max_buf_size(HTTP_HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    // Whatever a client does wrong here concerns it alone.
    let _ = tokio::time::timeout(Duration::from_millis(HTTP_CONNECTION_MS), connection).await;
}
