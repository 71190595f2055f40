//! A job's past in outline: every event but output, and of output how many lines each command has.
//!
//! A page that cannot hold a million lines asks for those that are in sight by their numbers. Whoever has an event has heard
//! of everything before it: lines are told before the event that follows on them, so that a client may go on from
//! anywhere. Read next: `../log/index.rs`, which knows how a job stood at any event.

use crate::api::follow::WINDOW;
use crate::{
    api::{
        error::Answer,
        jobs,
        log::{Count, Heard, Lines, hear},
        output::{Channel, Running},
    },
    app::Context,
    store::{Event, StoreError},
};
use serde_json::value::{RawValue, to_raw_value};
use shared::{
    JobId, Num, Seq, Timestamp,
    outcome::{CaseCounts, CaseResult},
    protocol::live::{LineCount, LineCounts, Recorded},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// One reader's way through the stored events of a job.
pub(super) struct Outline {
    job: JobId,
    counts: HashMap<Num, Count>,
    running: Running,
    /// Commands with output that was not told of, in the order of it.
    wrote: Vec<Num>,
    untold: HashSet<Num>,
    /// The last output.
    last: (Seq, Timestamp),
    /// What is read here it need not read again.
    index: Arc<Lines>,
}

impl Outline {
    /// For a reader who goes from event `from` to event `until`.
    pub(super) async fn open(context: &Context, id: &JobId, from: u64, until: Seq) -> Answer<Self> {
        let job = jobs::find(context, id).await?;
        let index = context.lines.of(&job);
        let mut outline = Self {
            job: id.clone(),
            counts: HashMap::new(),
            running: Running::default(),
            wrote: Vec::new(),
            untold: HashSet::new(),
            last: (Seq(0), Timestamp(0)),
            index: Arc::clone(&index),
        };
        let from = Seq(from.max(1));
        if from > Seq(1) && from <= until {
            index.reach(&context.store, id, until).await?;
            outline.go_to(context, from).await?;
        }
        Ok(outline)
    }

    /// Brings the counts to where they stood before event `from`.
    async fn go_to(&mut self, context: &Context, from: Seq) -> Result<(), StoreError> {
        let before = self.index.look(|index| index.before(from));
        self.running = before.running;
        let mut stood = HashMap::new();
        for (num, count, seq) in before.commands {
            self.counts.insert(num, count);
            stood.insert(num, seq);
        }
        let (mut next, last) = (before.next, Seq(from.0 - 1));
        while next <= last {
            let events = context.store.events(&self.job, next, last, WINDOW).await?;
            next = events.last().map_or(last, |event| event.seq).next();
            for event in &events {
                self.follow(hear(&event.line), |num| {
                    stood.get(&num).is_some_and(|seq| event.seq >= *seq)
                });
            }
        }
        Ok(())
    }

    /// Takes in an event; answers whose output it was, if it was any that counts.
    fn follow(&mut self, heard: Heard<'_>, counts: impl FnOnce(Num) -> bool) -> Option<Num> {
        match heard {
            Heard::Start(num) => self.running.start(num),
            Heard::Done(num) => self.running.done(num),
            Heard::Text { num, channel, text } => {
                let num = num.or(self.running.latest()).unwrap_or(Num(0));
                if counts(num) && !text.is_empty() {
                    self.counts.entry(num).or_default().take(channel, &text);
                    return Some(num);
                }
            }
            Heard::Cases | Heard::Other => {}
        }
        None
    }

    /// The next stored events as the reader is told of them.
    pub(super) fn take(&mut self, events: Vec<Event>) -> Vec<Arc<str>> {
        self.index.take(&events);
        let mut told = Vec::new();
        for event in events {
            let heard = hear(&event.line);
            if matches!(heard, Heard::Text { .. }) {
                self.last = (event.seq, event.at);
                if let Some(num) = self.follow(heard, |_| true)
                    && self.untold.insert(num)
                {
                    self.wrote.push(num);
                }
                continue;
            }
            told.extend(self.lines());
            let cases = matches!(heard, Heard::Cases).then(|| bad_cases(&event.line)).flatten();
            self.follow(heard, |_| false);
            told.push(cases.unwrap_or(event.line));
        }
        told.extend(self.lines());
        told
    }

    /// How far the output goes that was not told of.
    fn lines(&mut self) -> Option<Arc<str>> {
        if self.wrote.is_empty() {
            return None;
        }
        let counts = self.wrote.drain(..).map(|num| {
            let count = self.counts.get(&num).copied().unwrap_or_default();
            LineCount(num, count.lines, count.open(Channel::Out), count.open(Channel::Err))
        });
        let counts = LineCounts::new(self.last.0, self.last.1, self.job.clone(), counts.collect());
        self.untold.clear();
        // Numbers always have a JSON form.
        Some(serde_json::to_string(&counts).unwrap_or_default().into())
    }
}

/// Cases of a file with the bad ones alone, and how many there are of each kind.
fn bad_cases(line: &str) -> Option<Arc<str>> {
    let mut recorded: Recorded<'_> = serde_json::from_str(line).ok()?;
    let cases: Vec<CaseResult> = serde_json::from_str(recorded.args.get(3)?.get()).ok()?;
    let counts = CaseCounts::of(&cases);
    let bad: Vec<&CaseResult> = cases.iter().filter(|case| case.outcome.is_bad()).collect();
    let (bad, counts): (Box<RawValue>, Box<RawValue>) = (to_raw_value(&bad).ok()?, to_raw_value(&counts).ok()?);
    recorded.args.truncate(3);
    recorded.args.extend([&*bad, &*counts]);
    serde_json::to_string(&recorded).ok().map(Into::into)
}
