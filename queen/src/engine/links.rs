//! The drones' side of the engine: who is connected, what was applied of each, and what their words mean.

use super::{
    SessionId, ToSession,
    core::{Core, Link, Position},
    event_line::{self, Incoming, Meaning, Said},
    gather::text,
    writer::{Outbound, Tell},
};
use crate::{
    bus::Change,
    store::{Applied, CasePart},
};
use scheduler::{DroneInput, Input};
use shared::{
    DroneId, Incarnation, LeaseToken, Num, Timestamp,
    protocol::{Hello, JobEvent, ToDrone},
};
use std::sync::Arc;

impl Core {
    pub(super) fn connect(&mut self, hello: Hello, outbound: Outbound, now: Timestamp) -> SessionId {
        self.last_session += 1;
        let session = SessionId(self.last_session);
        let drone = hello.drone.clone();
        if let Some(older) = self.links.remove(&drone) {
            tracing::warn!(%drone, "the drone connected again: its older connection is closed");
            older.outbound.cut.cancel();
            self.sessions.remove(&older.session);
            self.step(
                Input::Drone {
                    drone: drone.clone(),
                    what: DroneInput::Disconnected,
                },
                None,
                now,
            );
        }
        let known = self
            .positions
            .get(&drone)
            .filter(|position| position.incarnation == hello.incarnation)
            .map(|position| position.n);
        // A new life starts where it says; an old one must go on where it was.
        let applied = known.unwrap_or_else(|| hello.first.saturating_sub(1));
        let gap = known.is_some_and(|n| hello.first > n + 1);
        let applied = if gap { hello.first - 1 } else { applied };
        if gap {
            tracing::warn!(%drone, "messages of the drone are missing for ever: its leases end");
        }
        self.advance(&drone, &hello.incarnation, applied);
        let link = Link {
            session,
            incarnation: hello.incarnation.clone(),
            outbound,
            informed: false,
        };
        link.outbound.tell_later(&mut self.work, ToSession::Ack(applied));
        link.outbound
            .tell_later(&mut self.work, ToSession::Message(text(&ToDrone::QueryInfo {})));
        self.links.insert(drone.clone(), link);
        self.sessions.insert(session, drone.clone());
        let what = DroneInput::Connected {
            incarnation: hello.incarnation,
            name: hello.name,
            gap,
        };
        self.step(Input::Drone { drone, what }, None, now);
        session
    }

    pub(super) fn disconnect(&mut self, session: SessionId, reason: &str, left: bool, now: Timestamp) {
        let Some(drone) = self.sessions.remove(&session) else {
            return;
        };
        self.links.remove(&drone);
        let what = match left {
            true => DroneInput::Left,
            false => DroneInput::Disconnected,
        };
        self.step(
            Input::Drone {
                drone: drone.clone(),
                what,
            },
            None,
            now,
        );
        tracing::info!(%drone, reason, "drone left");
        if let Some(status) = self.state.drone(&drone) {
            self.work
                .tells
                .push(Tell::Change(Change::DroneLeft(Arc::new(status), reason.into())));
        }
    }

    /// Notes that everything up to `n` of this life of a drone is applied.
    pub(super) fn advance(&mut self, drone: &DroneId, incarnation: &Incarnation, n: u64) {
        let position = Position {
            incarnation: incarnation.clone(),
            n,
        };
        self.positions.insert(drone.clone(), position);
        let applied = Applied {
            drone: drone.clone(),
            incarnation: incarnation.clone(),
            n,
        };
        match self.work.batch.applied.iter_mut().find(|older| older.drone == *drone) {
            Some(older) => *older = applied,
            None => self.work.batch.applied.push(applied),
        }
    }

    pub(super) fn said(&mut self, session: SessionId, messages: Vec<Incoming>, now: Timestamp) {
        // Words of a connection that was replaced: the drone says them again on the new one.
        let Some(drone) = self.sessions.get(&session).cloned() else {
            return;
        };
        let mut last = None;
        for message in messages {
            if let Some(n) = message.n {
                let applied = last.unwrap_or_else(|| self.positions.get(&drone).map_or(0, |position| position.n));
                if n <= applied {
                    continue;
                }
                if n > applied + 1 {
                    tracing::error!(%drone, n, applied, "the drone left out messages: it has to connect again");
                    if let Some(link) = self.links.get(&drone) {
                        link.outbound.cut.cancel();
                    }
                    break;
                }
                last = Some(n);
            }
            self.hear(&drone, message, now);
        }
        if let Some(n) = last
            && let Some(link) = self.links.get(&drone)
        {
            let incarnation = link.incarnation.clone();
            link.outbound.tell_later(&mut self.work, ToSession::Ack(n));
            self.advance(&drone, &incarnation, n);
        }
    }

    pub(super) fn hear(&mut self, drone: &DroneId, message: Incoming, now: Timestamp) {
        let lease = message.lease;
        match message.said {
            Said::Nothing => {}
            Said::Info(info) => {
                let joined = self
                    .links
                    .get_mut(drone)
                    .is_some_and(|link| !std::mem::replace(&mut link.informed, true));
                self.step(
                    Input::Drone {
                        drone: drone.clone(),
                        what: DroneInput::Info(info),
                    },
                    None,
                    now,
                );
                self.changed_drones.insert(drone.clone());
                if joined && let Some(status) = self.state.drone(drone) {
                    tracing::info!(%drone, speed = status.info.speed, capacity = status.info.capacity, "drone joined");
                    self.work
                        .tells
                        .push(Tell::Change(Change::DroneJoined(Arc::new(status))));
                }
            }
            Said::Resume(resume) => {
                self.step(
                    Input::Drone {
                        drone: drone.clone(),
                        what: DroneInput::Resume(resume),
                    },
                    None,
                    now,
                );
            }
            Said::Job(event, files) => {
                let event = event_line::signed(event, drone);
                match event_line::meaning(&event, files) {
                    Meaning::Input(what) => {
                        let job = event.job().clone();
                        let what = DroneInput::Job { job, lease, what };
                        self.step(
                            Input::Drone {
                                drone: drone.clone(),
                                what,
                            },
                            Some((drone, event)),
                            now,
                        );
                    }
                    Meaning::Output => self.output(drone, lease, event, now),
                    Meaning::Nothing => {}
                }
            }
        }
    }

    /// Records output without asking the scheduler more than whether the drone may speak.
    pub(super) fn output(&mut self, drone: &DroneId, lease: Option<LeaseToken>, event: JobEvent, now: Timestamp) {
        let job = event.job();
        if !self.state.fence(job, drone, lease) {
            return dropped("stale", drone, &event);
        }
        if let Some(num) = command(&event)
            && !self.state.started_num(job, drone, num)
        {
            return dropped("bad-num", drone, &event);
        }
        if let JobEvent::Cases {
            job,
            num,
            attempt,
            cases,
        } = &event
        {
            let part = CasePart {
                job: job.clone(),
                num: *num,
                attempt: *attempt,
                cases: cases.clone(),
            };
            self.work.batch.cases.push(part);
        }
        self.record(&event, now);
    }
}

/// The command that an event of output belongs to.
pub(super) fn command(event: &JobEvent) -> Option<Num> {
    match event {
        JobEvent::CmdDone { num, .. }
        | JobEvent::CmdStdout { num, .. }
        | JobEvent::CmdStderr { num, .. }
        | JobEvent::Cases { num, .. } => Some(*num),
        _ => None,
    }
}

pub(super) fn dropped(why: &'static str, drone: &DroneId, event: &JobEvent) {
    metrics::counter!("skep_messages_dropped_total", "why" => why).increment(1);
    tracing::debug!(why, %drone, job = %event.job(), kind = event.kind(), "a drone's message counts for nothing");
}
