//! The fleet at a glance: what it did in the last hour, how busy it is.
//!
//! The hour comes from the store, so that a restart forgets nothing of it; the rest is as the scheduler sees it now.

use super::{
    error::Answer,
    view::{ErrorView, FleetView},
};
use crate::{app::Context, clock};
use axum::{Json, extract::State};
use shared::Timestamp;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;
/// Minutes that are told.
const MINUTES: i64 = 60;

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(fleet))
}

/// Files that ended in each minute of the last hour; slots and jobs as they are now.
#[utoipa::path(get, path = "/fleet", tag = "drones",
    responses((status = 200, body = FleetView), (status = 503, body = ErrorView)))]
async fn fleet(State(context): State<Context>) -> Answer<Json<FleetView>> {
    let drones = context.engine.drones().await?;
    let jobs = context.engine.count_jobs().await?;
    let newest = clock::now().0.div_euclid(MINUTE) * MINUTE;
    let from = newest - (MINUTES - 1) * MINUTE;
    let minutes = context.store.throughput(Timestamp(from)).await?;
    let files = |start: i64| {
        let minute = minutes.iter().find(|minute| minute.start.0 == start);
        minute.map_or(0, |minute| minute.files)
    };
    let hour = (0..MINUTES).map(|minute| from + minute * MINUTE);
    let connected = || drones.iter().filter(|drone| drone.connected);
    Ok(Json(FleetView {
        throughput: hour.map(|start| (start, files(start))).collect(),
        slots: connected()
            .map(|drone| drone.info.capacity)
            .fold(0, u32::saturating_add),
        busy: connected().map(|drone| drone.active).fold(0, u32::saturating_add),
        running: jobs.running,
        waiting: jobs.queued,
    }))
}
