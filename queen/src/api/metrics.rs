//! `/metrics`, `/healthz`, `/readyz`: what machines ask of a queen.
//!
//! Counters are the process's own, in one recorder however many queens it holds. What can be asked of this queen's
//! state is asked when somebody looks, so that it is never stale and never another queen's.

use super::error::{Answer, ApiError};
use crate::app::Context;
use axum::{
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use shared::JobState;
use std::{sync::OnceLock, time::Duration};

/// How often the recorder tidies up what nobody has fetched.
const UPKEEP: Duration = Duration::from_secs(60);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process's recorder; the first call installs it.
pub fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if ::metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder of metrics is installed: /metrics shows only what is asked of the queen");
        }
        describe();
        handle
    })
}

fn describe() {
    ::metrics::describe_counter!("skep_http_requests_total", "HTTP requests by method, route and status");
    ::metrics::describe_counter!("skep_events_recorded_total", "Job events made durable");
    ::metrics::describe_counter!(
        "skep_messages_dropped_total",
        "Messages that counted for nothing, by reason"
    );
    crate::housekeeping::describe();
}

/// Keeps the recorder small until the queen stops.
pub(super) async fn upkeep(context: Context) {
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(UPKEEP) => recorder().run_upkeep(),
        }
    }
}

/// The layer that counts requests by the route that they match.
pub(super) async fn count(request: Request, next: Next) -> Response {
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        // Clients can make up as many as they like.
        _ => "other".to_owned(),
    };
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    ::metrics::counter!("skep_http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    response
}

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The queen can take and keep work; else 503 with the reason.
pub(super) async fn readyz(State(context): State<Context>) -> Answer<&'static str> {
    let not = |why: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", why);
    if context.shutdown.is_cancelled() {
        return Err(not("the queen stops".into()));
    }
    if let Some(why) = context.engine.illness() {
        return Err(not(format!(
            "the queen cannot write, takes no work and tries again by itself: {why}"
        )));
    }
    let ping = context.store.ping().await;
    ping.map_err(|error| not(format!("the store does not answer: {error}")))?;
    Ok("ready\n")
}

/// Everything in the text form of Prometheus.
pub(super) async fn metrics(State(context): State<Context>) -> Answer<impl IntoResponse> {
    let drones = context.engine.drones().await?;
    let waiting = context.engine.queue().await?.len() as u64;
    let jobs = context.engine.count_jobs().await?;
    let now = PrometheusBuilder::new().build_recorder();
    let handle = now.handle();
    ::metrics::with_local_recorder(&now, || {
        let gauge = |name: &'static str, help: &'static str, value: u64| {
            ::metrics::describe_gauge!(name, help);
            ::metrics::gauge!(name).set(as_f64(value));
        };
        let connected = drones.iter().filter(|drone| drone.connected);
        gauge("skep_queue_length", "Jobs that wait for a drone", waiting);
        gauge(
            "skep_drones_connected",
            "Drones that have a connection",
            connected.clone().count() as u64,
        );
        let total = connected.clone().map(|drone| u64::from(drone.info.capacity)).sum();
        gauge("skep_slots", "Slots of connected drones", total);
        let busy = connected.map(|drone| u64::from(drone.active)).sum();
        gauge("skep_slots_busy", "Slots of connected drones in use", busy);
        ::metrics::describe_gauge!("skep_jobs", "Unfinished jobs by state");
        for (state, count) in [(JobState::Queued, jobs.queued), (JobState::Running, jobs.running)] {
            ::metrics::gauge!("skep_jobs", "state" => state.as_str()).set(as_f64(count));
        }
    });
    let text = handle.render() + &recorder().render();
    Ok((
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    ))
}

#[expect(clippy::cast_precision_loss, reason = "a count of jobs or slots is far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
