//! The queen's HTTP side: addresses, layers, and nothing that decides.
//!
//! Read `jobs.rs` for what an endpoint looks like, `auth.rs` for who may ask, `follow.rs` for how a job's events get
//! out without a gap. The API knows the engine, the store and the bus; none of them knows it.

mod assets;
mod auth;
mod badge;
mod cases;
mod compare;
mod drones;
mod error;
mod extract;
mod fleet;
mod follow;
pub mod git;
mod jobs;
mod junit;
mod live;
mod log;
pub mod metrics;
mod openapi;
mod output;
mod packed;
mod present;
mod projects;
pub mod quarantine;
mod rerun;
mod session;
mod sse;
pub mod tokens;
mod upgrade;
pub mod view;

use crate::app::Context;
use axum::{
    Router,
    http::{HeaderValue, header, header::HeaderName},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use error::ApiError;
pub use log::LineCache;
use std::any::Any;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, DefaultPredicate, Predicate},
    set_header::SetResponseHeaderLayer,
};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// Where repositories that the queen holds are reached.
const GIT: &str = "/git/";

/// Everything below `/api/v1`, with what OpenAPI says of it.
fn api() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .merge(jobs::router())
        .merge(rerun::router())
        .merge(cases::router())
        .merge(compare::router())
        .merge(sse::router())
        .merge(log::router())
        .merge(log::lines::router())
        .merge(log::search::router())
        .merge(junit::router())
        .merge(drones::router())
        .merge(fleet::router())
        .merge(projects::router())
        .merge(tokens::router())
        .merge(session::router())
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    documented().split_for_parts().1
}

fn documented() -> OpenApiRouter<Context> {
    OpenApiRouter::with_openapi(openapi::Document::openapi()).nest("/api/v1", api())
}

/// The queen's HTTP service. Must be called within a tokio runtime: it keeps the metrics tidy while the queen runs.
pub fn router(context: Context) -> Router {
    if context.config.metrics {
        metrics::recorder();
        context.connections.spawn(metrics::upkeep(context.clone()));
    }
    let (router, document) = documented().split_for_parts();
    let repositories =
        git::router(context.repositories.clone()).layer(from_fn_with_state(context.clone(), auth::guard));
    openapi::serve(router, document)
        .route("/api/v1/live", any(live::upgrade))
        .route("/api/v1/drone", any(upgrade::drone))
        .route("/healthz", get(metrics::healthz))
        .route("/readyz", get(metrics::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/api/{*rest}", any(ApiError::unknown_route))
        .route("/", get(assets::serve))
        .route("/{*path}", get(assets::serve))
        .method_not_allowed_fallback(ApiError::wrong_method)
        .fallback(ApiError::unknown_route)
        .layer(from_fn_with_state(context.clone(), auth::guard))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(packed::untagged)))
        // Packs are compressed already, and too large to be held up by compressing them again.
        .merge(repositories)
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(assets::NOTHING),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ))
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(from_fn(metrics::count))
        .with_state(context)
}

fn on_panic(panic: Box<dyn Any + Send>) -> Response {
    let why = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(why, "a request handler panicked");
    ApiError::panicked().into_response()
}
