//! Tokens: how one is made, hashed and named, and their endpoints.
//!
//! A token's value is shown once, at its making; only its SHA-256 is kept. What a role may do is in `auth.rs`.

use super::{
    error::{Answer, ApiError},
    extract::Json,
    view::{ErrorView, NewToken, TokenView},
};
use crate::{
    app::Context,
    store::{AccessRole, AccessToken},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa_axum::{router::OpenApiRouter, routes};

/// What every token begins with, so that scanners for leaked secrets can know one.
pub const PREFIX: &str = "skep_";
/// The most bytes of a token's name.
const NAME_LIMIT: usize = 200;

/// A token that was just made.
pub struct Minted {
    /// What is kept.
    pub token: AccessToken,
    /// The SHA-256 under which it is kept.
    pub hash: [u8; 32],
    /// The value: to be shown once and forgotten.
    pub value: String,
}

/// Makes a token of 32 random bytes.
#[must_use]
pub fn mint(name: &str, role: AccessRole) -> Minted {
    let value = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    Minted {
        token: AccessToken {
            id: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 9]>()),
            name: name.into(),
            role,
            created: crate::clock::now(),
        },
        hash: hash(&value),
        value,
    }
}

/// What a token's value is known by. The values are random, so that a plain hash is enough.
#[must_use]
pub fn hash(value: &str) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}

/// The role's word.
#[must_use]
pub fn word(role: AccessRole) -> &'static str {
    match role {
        AccessRole::Admin => "admin",
        AccessRole::Trigger => "trigger",
        AccessRole::Read => "read",
        AccessRole::Drone => "drone",
    }
}

/// What a token is to be.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is for, in its maker's words.
    pub name: String,
    /// `admin`, `trigger`, `read` or `drone`.
    #[schema(value_type = String)]
    pub role: AccessRole,
}

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(remove))
}

/// All tokens, without their values.
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses(
    (status = 200, body = Vec<TokenView>), (status = 403, body = ErrorView)))]
async fn list(State(context): State<Context>) -> Answer<axum::Json<Vec<TokenView>>> {
    let tokens = context.store.tokens().await?;
    Ok(axum::Json(tokens.into_iter().map(TokenView::of).collect()))
}

/// Makes a token. The answer is the only place that shows its value.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = TokenRequest, responses(
    (status = 201, body = NewToken), (status = 403, body = ErrorView), (status = 422, body = ErrorView)))]
async fn add(
    State(context): State<Context>,
    Json(request): Json<TokenRequest>,
) -> Answer<(StatusCode, axum::Json<NewToken>)> {
    let name = request.name.trim();
    if name.is_empty() || name.len() > NAME_LIMIT {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-body",
            format!("name must have 1 to {NAME_LIMIT} bytes: say what the token is for"),
        ));
    }
    let Minted { token, hash, value } = mint(name, request.role);
    context.store.add_token(&token, hash).await?;
    tracing::info!(
        id = token.id,
        name = token.name,
        role = word(token.role),
        "a token was made"
    );
    Ok((
        StatusCode::CREATED,
        axum::Json(NewToken {
            id: token.id,
            role: token.role,
            token: value,
        }),
    ))
}

/// Takes a token away; connections that were made with it stay until they end.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "The token's id")),
    responses((status = 204, description = "It is gone"), (status = 403, body = ErrorView), (status = 404, body = ErrorView)))]
async fn remove(State(context): State<Context>, Path(id): Path<String>) -> Answer<StatusCode> {
    if context.store.remove_token(&id).await? {
        tracing::info!(id, "a token was taken away");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found(format!(
        "there is no token with the id {id:?}: GET /api/v1/tokens lists the ids"
    )))
}
