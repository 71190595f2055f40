//! What there is to do in a world: jobs with files whose output and end are known beforehand.

use super::chance::Dice;
use serde_json::{Value, json};
use shared::{JobId, outcome::FileOutcome, protocol::event::Plan};
use std::time::Duration;

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Passes,
    Fails,
    /// Fails at its first attempt.
    Flaky,
    /// Ends its own process by a signal.
    Dies,
}

#[derive(Debug, Clone)]
pub struct FilePlan {
    pub path: String,
    pub kind: Kind,
    pub lines: u64,
    /// Between two lines.
    pub pace: Duration,
}

#[derive(Debug, Clone)]
pub struct JobPlan {
    pub id: JobId,
    pub data: Value,
    pub files: Vec<FilePlan>,
    pub plan: Plan,
    /// Bytes beside what a line has to say.
    pub padding: usize,
    pub submit_at: Duration,
    /// Somebody stops it then.
    pub cancel_at: Option<Duration>,
    /// How it ends if no drone is lost.
    pub passes: bool,
    pub deploys: bool,
}

impl JobPlan {
    pub fn file(&self, path: &str) -> &FilePlan {
        let whole = path.split_once('#').map_or(path, |(whole, _)| whole);
        self.files.iter().find(|file| file.path == whole).unwrap()
    }

    pub fn random(dice: &mut Dice, number: u64, busy: Duration) -> Self {
        let id = format!("job-{number}");
        let count = dice.within(1..8);
        let calm = dice.odds(2, 3);
        let files: Vec<FilePlan> = (0..count)
            .map(|at| {
                let kind = match dice.below(20) {
                    0 if !calm => Kind::Fails,
                    1 | 2 => Kind::Flaky,
                    3 if !calm => Kind::Dies,
                    _ => Kind::Passes,
                };
                FilePlan {
                    path: format!("tests/{at}-{kind:?}"),
                    kind,
                    lines: dice.within(0..25),
                    pace: Duration::from_millis(dice.within(1..600)),
                }
            })
            .collect();
        let kind = *dice.pick(&["TEST", "TEST", "TEST", "TEST&DEPLOY", "DEPLOY"]);
        let tests = kind != "DEPLOY";
        let bad = |file: &FilePlan| matches!(file.kind, Kind::Fails | Kind::Dies);
        let passes = !tests || !files.iter().any(bad);
        let cancel = dice.odds(1, 6);
        let submit = Duration::from_millis(dice.below(busy.as_millis() as u64 * 2 / 3));
        Self {
            data: json!({
                "job_id": id, "project": (["acme/site", "acme/shop"][dice.below(2) as usize]), "job_type": kind,
                "trigger": {"type": "manual", "timestamp": 1_700_000_000_000_i64},
                "retries": u64::from(dice.odds(1, 8)), "priority": dice.below(3),
            }),
            id: JobId::new(&id).unwrap(),
            files: if tests { files } else { Vec::new() },
            plan: Plan {
                runner: "command".into(),
                retries: 1,
                fail_fast: dice.odds(1, 12),
                split: dice.odds(1, 2),
                prepare_commands: 1,
                cleanup_commands: 1,
                ..Plan::default()
            },
            padding: *dice.pick(&[0, 0, 50, 1500]),
            submit_at: submit,
            cancel_at: cancel.then(|| submit + Duration::from_millis(dice.within(0..20_000))),
            passes,
            deploys: kind != "TEST",
        }
    }

    /// May a file of this kind be said to have ended so? `lost`: how often its drone was lost or its process died.
    pub fn may_end(kind: Kind, outcome: FileOutcome, lost: u32) -> bool {
        match (kind, outcome) {
            (_, FileOutcome::Crashed) => lost >= 3,
            (Kind::Passes, FileOutcome::Passed) | (Kind::Fails, FileOutcome::Failed) => true,
            // Its first attempt may have been lost, and then the second is not its first failure.
            (Kind::Flaky, FileOutcome::Flaky | FileOutcome::Passed) => true,
            _ => false,
        }
    }
}
