//! What handlers take out of a request, with refusals that say what to do.
//!
//! Owns the reading of bodies, queries and ids in addresses; knows no endpoint. Read next: `jobs.rs`.

use super::error::ApiError;
use axum::{
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::QueryRejection},
    http::{StatusCode, request::Parts},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use shared::{JobId, job::JOB_LIMIT};

/// Bytes of a body over the limit that are still read, so that the client hears the answer in place of a reset.
const DRAIN: usize = 16 * 1024 * 1024;

/// The text of a body, at most [`JOB_LIMIT`] bytes.
#[derive(Debug)]
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let mut body = request.into_body().into_data_stream();
        let mut bytes = Vec::new();
        let mut seen = 0_usize;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "bad-body",
                    format!("the body broke off: {error}; send it again"),
                )
            })?;
            seen = seen.saturating_add(chunk.len());
            if seen <= JOB_LIMIT {
                bytes.extend_from_slice(&chunk);
            } else {
                bytes = Vec::new();
                if seen > DRAIN {
                    break;
                }
            }
        }
        if seen > JOB_LIMIT {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                format!(
                    "the body has more than {JOB_LIMIT} bytes, which is the limit: keep large data in the repository"
                ),
            ));
        }
        String::from_utf8(bytes).map(Self).map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad-json",
                format!("the body is no UTF-8 text: {error}; send JSON"),
            )
        })
    }
}

/// A JSON body; an empty one reads as `{}`.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Text(text) = Text::from_request(request, state).await?;
        let text = if text.trim().is_empty() { "{}" } else { &text };
        syntax(text)?;
        serde_json::from_str(text).map(Self).map_err(|error| {
            ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad-body",
                format!("the body does not fit: {error}"),
            )
        })
    }
}

/// Refuses text that is no JSON at all.
pub fn syntax(text: &str) -> Result<(), ApiError> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad-json",
                format!("the body is no JSON: {error}; send an object in UTF-8"),
            )
        })
}

/// The query of the address.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection: QueryRejection| {
                let text = rejection.body_text();
                let text = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                ApiError::bad_query(format!("the query cannot be read: {text}"))
            })
    }
}

/// The job named in the address.
#[derive(Debug)]
pub struct InJob(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for InJob {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = segment(parts, state, "id").await?;
        JobId::new(&id)
            .map(Self)
            .map_err(|error| ApiError::bad_query(error.to_string()))
    }
}

/// One named segment of the address, decoded.
async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, ApiError> {
    let Path(segments) = Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state)
        .await
        .map_err(|rejection| ApiError::bad_query(format!("the address cannot be read: {}", rejection.body_text())))?;
    segments
        .get(name)
        .cloned()
        .ok_or_else(|| ApiError::bad_query(format!("the address has no {name}")))
}

/// A command's number named in the address.
#[derive(Debug)]
pub struct InCommand(pub shared::Num);

impl<S: Send + Sync> FromRequestParts<S> for InCommand {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let num = segment(parts, state, "num").await?;
        num.parse().map(|num| Self(shared::Num(num))).map_err(|_| {
            ApiError::bad_query(format!(
                "{num:?} is no number of a command: they count from 0, and a job's files name theirs"
            ))
        })
    }
}
