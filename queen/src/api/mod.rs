//! The HTTP side of the queen: routes, and the layers around them.

pub mod view;

use crate::{app::Context, hub};
use axum::{
    Router,
    routing::{any, get},
};

/// Every route of the queen.
pub fn router(context: Context) -> Router {
    Router::new()
        .route("/api/v1/drone", any(hub::upgrade))
        .route("/healthz", get(async || "alive\n"))
        .with_state(context)
}
