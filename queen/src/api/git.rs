//! Repositories of the queen over HTTP: `/git/<project>.git/…`, for drones, for `queen run`, and for `git push`.
//!
//! Owns addresses, headers, limits and streaming; what is in the bodies is `git_http`'s. Knows nothing of accounts:
//! the layer around it asks [`is_write`] what a request needs. Read next: `../git_http.rs`.

use crate::{
    git_http::{self, GitHttpError, RefUpdate, Service},
    repositories::Repositories,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::read::GzDecoder;
use futures_util::{StreamExt, stream};
use shared::Project;
use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{
        Semaphore,
        mpsc::{self, error::SendTimeoutError},
    },
    task::spawn_blocking,
    time::timeout,
};

/// The most bytes that a request may have, packed and unpacked.
pub const BODY_LIMIT: u64 = 512 * 1024 * 1024;
/// How long a client may say nothing in the middle of its request, or take nothing of the response.
const SILENCE: Duration = Duration::from_secs(60);
/// Chunks between the connection and the thread that works for it.
const QUEUE: usize = 16;
/// Bytes that are gathered before they go to the connection.
const CHUNK: usize = 64 * 1024;
/// Requests that are worked on at once; the others wait.
const AT_ONCE: usize = 32;

/// Told after every push that has moved a ref. Called on a blocking thread.
pub type OnPush = Arc<dyn Fn(&Project, &[RefUpdate]) + Send + Sync>;

#[derive(Clone)]
struct Git {
    repositories: Repositories,
    limit: u64,
    on_push: Option<OnPush>,
    slots: Arc<Semaphore>,
}

/// The routes over all repositories of a queen.
pub fn router<S: Clone + Send + Sync + 'static>(repositories: Repositories) -> Router<S> {
    build(repositories, BODY_LIMIT, None)
}

/// As [`router`], with another body limit in bytes and a function that hears of every push.
pub fn build<S: Clone + Send + Sync + 'static>(
    repositories: Repositories,
    limit: u64,
    on_push: Option<OnPush>,
) -> Router<S> {
    let git = Git {
        repositories,
        limit,
        on_push,
        slots: Arc::new(Semaphore::new(AT_ONCE)),
    };
    Router::new()
        .route("/git/{*path}", get(advertise).post(serve))
        .with_state(git)
}

/// True if the request is part of a push. `path` with or without `/git/` before it.
#[must_use]
pub fn is_write(path: &str, query: Option<&str>) -> bool {
    match path.rsplit_once('/') {
        Some((_, "git-receive-pack")) => true,
        Some((_, "git-upload-pack")) => false,
        // Only what plainly asks to fetch is a read.
        _ => service(query) != Some(Service::UploadPack),
    }
}

fn service(query: Option<&str>) -> Option<Service> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut names = pairs.filter(|(key, _)| key == "service").map(|(_, value)| value);
    let name = names.next()?;
    // Two would let one be checked and the other served.
    if names.next().is_some() {
        return None;
    }
    Service::parse(&name)
}

/// `acme/web` from `acme/web.git`.
fn project(path: &str) -> Result<Project, Refused> {
    let name = path.strip_suffix(".git").unwrap_or(path);
    Project::new(name).map_err(|error| Refused(StatusCode::NOT_FOUND, error.to_string()))
}

async fn advertise(
    State(git): State<Git>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let Some(path) = path.strip_suffix("/info/refs") else {
        return Err(Refused(
            StatusCode::NOT_FOUND,
            "only git speaks here: git clone this address".into(),
        ));
    };
    let Some(service) = service(query.as_deref()) else {
        return Err(Refused(
            StatusCode::FORBIDDEN,
            "only git's smart protocol is spoken here: use git 1.6.6 or newer".into(),
        ));
    };
    let project = project(path)?;
    let repo = git_http::path_of(git.repositories.root(), &project)?;
    let _slot = git.slots.clone().acquire_owned().await;
    let held = git.repositories.hold(&project).await;
    let body = work(move || {
        let _held = held;
        git_http::advertise(&repo, service)
    })
    .await?;
    Ok(answer(service, "advertisement", Body::from(body)))
}

async fn serve(
    State(git): State<Git>,
    Path(path): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refused> {
    let parts = path.rsplit_once('/');
    let Some((path, service)) = parts.and_then(|(path, name)| Some((path, Service::parse(name)?))) else {
        return Err(Refused(StatusCode::NOT_FOUND, "only git speaks here".into()));
    };
    let expected = format!("application/x-{}-request", service.name());
    if headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) != Some(expected.as_bytes()) {
        return Err(Refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the content type must be {expected}"),
        ));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok());
    if length
        .and_then(|text| text.parse::<u64>().ok())
        .is_some_and(|length| length > git.limit)
    {
        return Err(too_large(git.limit));
    }
    let gzip = match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => {
            return Err(Refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "only gzip is understood".into(),
            ));
        }
    };
    let project = project(path)?;
    let slot = git.slots.clone().acquire_owned().await;
    let held = git.repositories.hold(&project).await;
    let body = Incoming::begin(request.into_body());
    let limit = git.limit;
    match service {
        Service::ReceivePack => {
            let received = work(move || {
                let _using = (slot, held);
                let repo = git_http::ensure(git.repositories.root(), &project)?;
                let received = git_http::receive_pack(&repo, &mut *decoded(body, gzip, limit))?;
                if let Some(on_push) = &git.on_push
                    && !received.updates.is_empty()
                {
                    on_push(&project, &received.updates);
                }
                Ok(received)
            })
            .await?;
            Ok(answer(service, "result", Body::from(received.response)))
        }
        Service::UploadPack => {
            let repo = git_http::path_of(git.repositories.root(), &project)?;
            let (send, mut receive) = mpsc::channel::<Result<Bytes, GitHttpError>>(QUEUE);
            spawn_blocking(move || {
                let _using = (slot, held);
                let mut out = Outgoing {
                    send: send.clone(),
                    buffer: Vec::with_capacity(CHUNK),
                };
                let done = git_http::upload_pack(&repo, &mut *decoded(body, gzip, limit), &mut out)
                    .and_then(|()| Ok(out.flush()?));
                if let Err(error) = done {
                    // Before the first chunk it becomes a status, after it the connection breaks off. If the client
                    // is gone, or takes nothing, there is nobody to tell.
                    let _ = send.try_send(Err(error));
                }
            });
            let first = match receive.recv().await {
                None => Bytes::new(),
                Some(first) => first?,
            };
            let rest = stream::unfold(receive, async |mut receive| {
                receive.recv().await.map(|chunk| (chunk, receive))
            });
            let body = Body::from_stream(stream::iter([Ok(first)]).chain(rest));
            Ok(answer(service, "result", body))
        }
    }
}

fn answer(service: Service, kind: &str, body: Body) -> Response {
    let content_type = format!("application/x-{}-{kind}", service.name());
    let headers = [
        (header::CONTENT_TYPE, content_type.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, body).into_response()
}

async fn work<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, GitHttpError> + Send + 'static,
) -> Result<T, Refused> {
    match spawn_blocking(task).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// A plain text that git shows to the person who waits.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

impl From<GitHttpError> for Refused {
    fn from(error: GitHttpError) -> Self {
        let status = match &error {
            GitHttpError::NoRepository(_) | GitHttpError::BadName => StatusCode::NOT_FOUND,
            GitHttpError::Protocol(_) => StatusCode::BAD_REQUEST,
            GitHttpError::Io(cause) => match cause.kind() {
                io::ErrorKind::FileTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                io::ErrorKind::TimedOut => StatusCode::REQUEST_TIMEOUT,
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                    StatusCode::BAD_REQUEST
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            GitHttpError::Git(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

fn too_large(limit: u64) -> Refused {
    let text = format!("the request is larger than {} MiB", limit / 1024 / 1024);
    Refused(StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// The request's body as a thread reads it, as it comes: never more than a few chunks are in memory.
struct Incoming {
    receive: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl Incoming {
    fn begin(body: Body) -> Self {
        let (send, receive) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut chunks = body.into_data_stream();
            loop {
                let chunk = match timeout(SILENCE, chunks.next()).await {
                    Ok(Some(Ok(chunk))) => Ok(chunk),
                    Ok(Some(Err(error))) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)),
                    Ok(None) => return,
                    Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client went silent")),
                };
                let last = chunk.is_err();
                if send.send(chunk).await.is_err() || last {
                    return;
                }
            }
        });
        Self {
            receive,
            chunk: Bytes::new(),
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receive.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.chunk = chunk?,
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

/// Unpacks the body, and ends with an error where it is over the limit.
fn decoded(body: Incoming, gzip: bool, limit: u64) -> Box<dyn Read> {
    let body = Limited {
        inner: body,
        left: limit,
    };
    if gzip {
        Box::new(Limited {
            inner: GzDecoder::new(body),
            left: limit,
        })
    } else {
        Box::new(body)
    }
}

struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the request is larger than this queen takes",
            )
        })?;
        Ok(count)
    }
}

/// The response's body as a thread writes it. A client that takes nothing stops the thread, then ends it.
struct Outgoing {
    send: mpsc::Sender<Result<Bytes, GitHttpError>>,
    buffer: Vec<u8>,
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        // On a thread for blocking work, so waiting for the connection here holds nobody else up.
        match Handle::current().block_on(self.send.send_timeout(Ok(chunk.into()), SILENCE)) {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")),
            Err(SendTimeoutError::Timeout(_)) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_push() {
        let fetch = Some("service=git-upload-pack");
        let push = Some("service=git-receive-pack");
        assert!(!is_write("/git/a/b.git/info/refs", fetch));
        assert!(is_write("/git/a/b.git/info/refs", push));
        assert!(is_write("/git/a/b.git/git-receive-pack", None));
        assert!(is_write("/git/a/b.git/git-receive-pack", fetch));
        assert!(!is_write("/git/a/b.git/git-upload-pack", None));
        // One service that is checked and another that is served.
        let both = Some("service=git-upload-pack&service=git-receive-pack");
        assert!(is_write("/git/a/b.git/info/refs", both));
        assert_eq!(service(both), None);
        assert!(is_write("/git/a/b.git/info/refs", Some("service=git%2Dreceive-pack")));
        assert!(is_write("/git/a/b.git/info/refs", None));
    }
}
