//! The one error of the API: a status, a short word for programs and a sentence for people.
//!
//! Owns how every refusal looks; knows no endpoint. Read next: `extract.rs`, which makes most of them.

use super::view::ErrorView;
use crate::{
    engine::{Down, SubmitError},
    store::{StoreError, StoredJob},
};
use axum::{
    Json,
    extract::Request,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use shared::{JobId, Num, job::BadJob};

/// A refusal. [`ErrorView`] is its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// A short word for programs.
    pub kind: &'static str,
    /// What happened and what to do.
    pub message: String,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// What a handler answers.
pub type Answer<T> = Result<T, ApiError>;

impl ApiError {
    /// Puts one together.
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
        }
    }

    /// 404 for something that is named in the address.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    /// 400 for a value in the address or the query.
    pub fn bad_query(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-query", message)
    }

    /// There is no such job.
    #[must_use]
    pub fn no_job(id: &str) -> Self {
        Self::not_found(format!(
            "there is no job {id}: GET /api/v1/jobs lists those that there are"
        ))
    }

    /// 410 for the output and the cases of a job that are kept no longer; none if they are there.
    pub fn if_log_removed(job: &StoredJob) -> Answer<()> {
        let Some(at) = job.log_removed else { return Ok(()) };
        let id = &job.row.id;
        let day = jiff::Timestamp::from_millisecond(at.0)
            .unwrap_or_default()
            .strftime("%Y-%m-%d");
        Err(Self::new(
            StatusCode::GONE,
            "log-removed",
            format!(
                "the log of job {id} is kept no longer, it was removed on {day}: its results are still there, \
                 GET /api/v1/jobs/{id}/files has them; rerun the job to see its output again"
            ),
        ))
    }

    /// The job has ended without such a command.
    #[must_use]
    pub fn no_command(id: &JobId, num: Num) -> Self {
        Self::not_found(format!(
            "job {id} has no command {num}: GET /api/v1/jobs/{id}/log has all that it ran"
        ))
    }

    /// There is no such drone.
    #[must_use]
    pub fn no_drone(id: &str) -> Self {
        Self::not_found(format!(
            "no drone {id} has ever connected: GET /api/v1/drones lists those that have"
        ))
    }

    /// The handler of addresses that lead nowhere.
    pub async fn unknown_route(uri: Uri) -> Self {
        Self::not_found(format!(
            "there is nothing at {}: /api/v1/openapi.json lists all addresses of the API",
            uri.path()
        ))
    }

    /// The handler of methods that an address does not take.
    pub async fn wrong_method(request: Request) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            format!(
                "{} does not take {}: the Allow header names what it takes",
                request.uri().path(),
                request.method()
            ),
        )
    }

    /// What a client sees of a handler that panicked.
    #[must_use]
    pub fn panicked() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the queen failed to answer: its log says why; please report it",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let view = ErrorView {
            error: self.message,
            kind: self.kind.into(),
        };
        let mut response = (self.status, Json(view)).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"skep\""),
                );
            }
            _ => {}
        }
        response
    }
}

impl From<Down> for ApiError {
    fn from(down: Down) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", down.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store could not answer a request");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the queen cannot read its store just now: try again shortly; its log says why",
        )
    }
}

impl From<BadJob> for ApiError {
    fn from(BadJob(message): BadJob) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-job", message)
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Clash(_) => Self::new(StatusCode::CONFLICT, "clash", error.to_string()),
            SubmitError::Redacted => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "redacted", error.to_string()),
            SubmitError::Down(down) => down.into(),
            SubmitError::Store(error) => error.into(),
        }
    }
}
