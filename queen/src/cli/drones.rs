//! `queen drones`, `drain` and `ping`: the fleet and how the queen is.

use super::{
    Failure, Global,
    client::{ClientError, encode},
    exit, report, say, say_json, table,
};
use clap::Args;
use comfy_table::{Cell, Color};
use queen::api::view::DroneView;
use serde_json::{Value, json};
use shared::DroneId;

/// Lists drones.
pub async fn list(global: &Global) -> Result<u8, Failure> {
    let drones: Vec<DroneView> = global.client()?.get("drones").await?;
    if global.json {
        say_json(&drones)?;
        return Ok(exit::OK);
    }
    if drones.is_empty() {
        say("no drones; start one with `drone start --queen URL`");
        return Ok(exit::OK);
    }
    let rows = drones.iter().map(|drone| {
        [
            Cell::new(&drone.id),
            Cell::new(report::plain(&drone.name)),
            state_cell(drone),
            Cell::new(format!("{}/{}", drone.active, drone.capacity)),
            Cell::new(drone.queued),
            Cell::new(format!("{:.0}", drone.effective_speed)),
            Cell::new(or_dash(drone.labels.join(","))),
            Cell::new(or_dash(drone.platform.clone())),
        ]
    });
    let head = [
        "DRONE", "NAME", "STATE", "SLOTS", "QUEUED", "SPEED", "LABELS", "PLATFORM",
    ];
    say(&table(global.paint(), head, rows));
    Ok(exit::OK)
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".into()
    } else {
        report::plain(&text)
    }
}

fn state(drone: &DroneView) -> &'static str {
    match (drone.connected, drone.draining, drone.active) {
        (false, true, _) => "drained",
        (false, false, _) => "away",
        (true, true, _) => "draining",
        (true, false, 0) => "idle",
        (true, false, _) => "busy",
    }
}

fn state_cell(drone: &DroneView) -> Cell {
    let word = state(drone);
    let cell = Cell::new(word);
    match word {
        "away" => cell.fg(Color::Red),
        "draining" | "drained" => cell.fg(Color::Yellow),
        "busy" => cell.fg(Color::Green),
        _ => cell,
    }
}

/// Flags of `queen drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// The drone's id, as `queen drones` lists it
    drone: DroneId,
    /// Take it back: the drone may take work again
    #[arg(long, env = "QUEEN_OFF")]
    off: bool,
}

/// Drains a drone, or takes that back.
pub async fn drain(global: &Global, args: DrainArgs) -> Result<u8, Failure> {
    let path = format!("drones/{}/drain", encode(args.drone.as_str()));
    let answer: Value = global.client()?.post(&path, &json!({"on": !args.off})).await?;
    if global.json {
        say_json(&answer)?;
    } else if args.off {
        say(&format!("drone {} takes work again", args.drone));
    } else {
        say(&format!(
            "drone {} finishes what runs and takes nothing new",
            args.drone
        ));
    }
    Ok(exit::OK)
}

/// Says how the queen is and what its drones can take.
pub async fn ping(global: &Global) -> Result<u8, Failure> {
    let client = global.client()?;
    client.text("/healthz").await?;
    let about: Value = client.get("openapi.json").await?;
    let version = about["info"]["version"].as_str().unwrap_or("of unknown version");
    let ready = match client.text("/readyz").await {
        Ok(_) => None,
        Err(ClientError::Refused { message, .. }) => Some(message),
        Err(error) => return Err(error.into()),
    };
    let drones: Vec<DroneView> = client.get("drones").await?;
    let connected = || drones.iter().filter(|drone| drone.connected);
    let slots: u32 = connected()
        .filter(|drone| !drone.draining)
        .map(|drone| drone.capacity)
        .sum();
    let active: u32 = connected().map(|drone| drone.active).sum();
    let code = if ready.is_none() { exit::OK } else { exit::FAILED };
    if global.json {
        say_json(&json!({
            "url": client.base(),
            "version": version,
            "ready": ready.is_none(),
            "why": ready,
            "drones": drones,
            "slots": slots,
            "active": active,
        }))?;
        return Ok(code);
    }
    let paint = global.paint();
    let how = match &ready {
        None => paint.green("is well"),
        Some(why) => paint.red(&format!("takes no work: {why}")),
    };
    say(&format!("queen {version} at {} {how}", client.base()));
    for drone in &drones {
        let slots = format!("{} of {} slots in use", drone.active, drone.capacity);
        say(&format!(
            "  {} {}: {}, {slots}",
            drone.id,
            report::plain(&drone.name),
            state(drone)
        ));
    }
    say(&format!(
        "{} drones connected, {active} of {slots} slots in use",
        connected().count()
    ));
    Ok(code)
}
