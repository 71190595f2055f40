//! The OpenAPI document, put together from the annotations of the handlers.

use crate::app::Context;
use axum::{Json, Router, routing::get};
use std::sync::Arc;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// What is not about single addresses.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Skep",
        description = "Runs a repository's test suite across all your machines. Errors have the body `{\"error\", \"kind\"}`. \
            Live events come over the WebSocket `/api/v1/live` (subprotocol skep.live.v1) or as server-sent events."
    ),
    security(("token" = []), ("session" = [])),
    modifiers(&Schemes)
)]
pub(super) struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let session = ApiKey::Cookie(ApiKeyValue::new(super::session::COOKIE));
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("session", SecurityScheme::ApiKey(session));
    }
}

/// Adds the document's own address.
pub(super) fn serve(router: Router<Context>, document: utoipa::openapi::OpenApi) -> Router<Context> {
    let document = Arc::new(document);
    router.route(
        "/api/v1/openapi.json",
        get(move || {
            let document = Arc::clone(&document);
            async move { Json((*document).clone()) }
        }),
    )
}
