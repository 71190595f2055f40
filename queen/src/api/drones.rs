//! The fleet and the queue, as the scheduler sees them now.

use super::{
    error::{Answer, ApiError},
    extract::Json,
    view::{DroneView, ErrorView, WaitingView},
};
use crate::app::Context;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use shared::DroneId;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(drain))
        .routes(routes!(queue))
}

fn id_of(text: &str) -> Answer<DroneId> {
    DroneId::new(text).map_err(|error| ApiError::bad_query(error.to_string()))
}

/// All drones that the queen knows.
#[utoipa::path(get, path = "/drones", tag = "drones",
    responses((status = 200, body = Vec<DroneView>), (status = 503, body = ErrorView)))]
async fn list(State(context): State<Context>) -> Answer<axum::Json<Vec<DroneView>>> {
    let drones = context.engine.drones().await?;
    Ok(axum::Json(drones.into_iter().map(DroneView::of).collect()))
}

/// One drone.
#[utoipa::path(get, path = "/drones/{id}", tag = "drones", params(("id" = String, Path, description = "The drone's id")),
    responses((status = 200, body = DroneView), (status = 404, body = ErrorView), (status = 503, body = ErrorView)))]
async fn read(State(context): State<Context>, Path(id): Path<String>) -> Answer<axum::Json<DroneView>> {
    find(&context, &id_of(&id)?).await.map(axum::Json)
}

async fn find(context: &Context, id: &DroneId) -> Answer<DroneView> {
    let drones = context.engine.drones().await?;
    let drone = drones.into_iter().find(|drone| drone.drone == *id);
    drone.map(DroneView::of).ok_or_else(|| ApiError::no_drone(id.as_str()))
}

/// Whether to drain.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DrainRequest {
    /// `false` takes a drain back; absent means `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
}

/// Drains a drone: it finishes what runs and takes nothing new. Or takes that back.
#[utoipa::path(post, path = "/drones/{id}/drain", tag = "drones", request_body = DrainRequest,
    params(("id" = String, Path, description = "The drone's id")),
    responses((status = 200, body = DroneView), (status = 404, body = ErrorView), (status = 503, body = ErrorView)))]
async fn drain(
    State(context): State<Context>,
    Path(id): Path<String>,
    Json(request): Json<DrainRequest>,
) -> Answer<axum::Json<DroneView>> {
    let id = id_of(&id)?;
    if !context.engine.drain(id.clone(), request.on.unwrap_or(true)).await? {
        return Err(ApiError::no_drone(id.as_str()));
    }
    find(&context, &id).await.map(axum::Json)
}

/// What waits, and why.
#[utoipa::path(get, path = "/queue", tag = "jobs",
    responses((status = 200, body = Vec<WaitingView>), (status = 503, body = ErrorView)))]
async fn queue(State(context): State<Context>) -> Answer<axum::Json<Vec<WaitingView>>> {
    let waiting = context.engine.queue().await?;
    Ok(axum::Json(waiting.into_iter().map(WaitingView::of).collect()))
}
