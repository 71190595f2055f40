//! From a request to a WebSocket, with refusals that say what to do. What is spoken then is the business of `live/` and
//! of the hub.

use super::error::{Answer, ApiError};
use crate::app::Context;
use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::StatusCode,
    response::Response,
};
use shared::protocol::{DRONE_PROTOCOL, LIVE_PROTOCOL};

/// What axum makes of a request that may be an upgrade.
pub type Attempt = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// A browser's upgrade; a client that names no subprotocol at all is taken too, so that simple tools can listen.
pub fn live(attempt: Attempt) -> Answer<WebSocketUpgrade> {
    let socket = negotiate(attempt, LIVE_PROTOCOL)?;
    let named = socket.requested_protocols().next().is_some();
    if named {
        chosen(socket, LIVE_PROTOCOL)
    } else {
        Ok(socket)
    }
}

/// A drone's upgrade, handed on to the hub.
pub async fn drone(State(context): State<Context>, attempt: Attempt) -> Answer<Response> {
    let socket = chosen(negotiate(attempt, DRONE_PROTOCOL)?, DRONE_PROTOCOL)?;
    Ok(crate::hub::upgrade(State(context), socket).await)
}

fn negotiate(attempt: Attempt, protocol: &'static str) -> Answer<WebSocketUpgrade> {
    let socket = attempt.map_err(|rejection| {
        let why = rejection.body_text();
        let message = format!("this address speaks WebSocket ({protocol}): {why}");
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", message)
    })?;
    Ok(socket.protocols([protocol]))
}

fn chosen(socket: WebSocketUpgrade, protocol: &str) -> Answer<WebSocketUpgrade> {
    if socket.selected_protocol().is_some() {
        return Ok(socket);
    }
    Err(ApiError::new(
        StatusCode::BAD_REQUEST,
        "unknown-protocol",
        format!(
            "this queen speaks the subprotocol {protocol} here, which was not asked for: update the older of the two"
        ),
    ))
}
