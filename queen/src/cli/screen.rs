//! What a run shows while it goes on: events for programs, lines for logs, moving lines on a terminal.
//!
//! Knows no network. Everything is driven by events; only the terminal's clock moves by itself.

use super::{
    Global,
    progress::{News, Progress},
    report::{self, Links, Paint},
    say,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use queen::{
    api::view::{JobView, NowView},
    clock::{self, Stopwatch},
};
use serde_json::json;
use shared::Timestamp;
use std::{fmt::Write, io::IsTerminal, time::Duration};

/// The least time between two progress lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Running files that are shown on a terminal.
const RUNNING_SHOWN: usize = 6;
/// Characters of a path that are shown on a terminal.
const PATH_SHOWN: usize = 60;

/// Where progress goes.
pub struct Screen {
    kind: Kind,
    paint: Paint,
}

enum Kind {
    Json,
    Plain { since: Stopwatch, shown: String },
    Terminal(ProgressBar),
}

impl Screen {
    /// The form that fits: events for `--json`, lines where there is no terminal or for `plain`, else moving lines.
    pub fn new(global: &Global, plain: bool) -> Self {
        let kind = if global.json {
            Kind::Json
        } else if plain || !std::io::stdout().is_terminal() {
            Kind::Plain {
                since: Stopwatch::start(),
                shown: String::new(),
            }
        } else {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stdout());
            let style =
                ProgressStyle::with_template("{elapsed:>4} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_secs(1));
            Kind::Terminal(bar)
        };
        Self {
            kind,
            paint: global.paint(),
        }
    }

    /// True if somebody looks at expected ends.
    pub fn shows_forecast(&self) -> bool {
        !matches!(self.kind, Kind::Json)
    }

    /// The job is known to the queen.
    pub fn begin(&mut self, job: &str, url: &str) {
        match &self.kind {
            Kind::Json => say(&json!({"type": "run", "job": job, "url": url}).to_string()),
            _ => self.print(&format!("live: {url}")),
        }
    }

    /// Something beside the job's own events, for people.
    pub fn note(&mut self, text: &str) {
        match &self.kind {
            Kind::Json => super::complain(text),
            _ => {
                let text = self.paint.yellow(text);
                self.print(&text);
            }
        }
    }

    /// One event: its text, what is known with it, what is worth telling.
    pub fn event(&mut self, line: &str, progress: &Progress, news: Option<&News>, now: Option<&NowView>) {
        if matches!(self.kind, Kind::Json) {
            say(line);
            return;
        }
        if let Some(text) = news.and_then(|news| news_text(news, progress, self.paint)) {
            self.print(&text);
        }
        self.refresh(progress, now);
    }

    /// Shows how far the job is.
    pub fn refresh(&mut self, progress: &Progress, now: Option<&NowView>) {
        match &mut self.kind {
            Kind::Json => {}
            Kind::Plain { since, shown } => {
                if since.elapsed() < LINE_EVERY || progress.done {
                    return;
                }
                let line = status_line(progress, now, self.paint);
                if *shown != line {
                    say(&line);
                    (*since, *shown) = (Stopwatch::start(), line);
                }
            }
            Kind::Terminal(bar) => bar.set_message(terminal_text(progress, now, self.paint)),
        }
    }

    /// The job is over.
    pub fn end(&mut self, job: &JobView, progress: &Progress, links: &Links, code: u8) {
        match &self.kind {
            Kind::Json => say(&summary_json(job, progress, links, code).to_string()),
            Kind::Terminal(bar) => {
                bar.finish_and_clear();
                say(&report::summary(job, progress, links, self.paint));
            }
            Kind::Plain { .. } => say(&report::summary(job, progress, links, self.paint)),
        }
    }

    /// Takes moving lines away, before something else is printed.
    pub fn close(&mut self) {
        if let Kind::Terminal(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }

    fn print(&self, text: &str) {
        match &self.kind {
            Kind::Terminal(bar) => bar.println(text),
            _ => say(text),
        }
    }
}

fn news_text(news: &News, progress: &Progress, paint: Paint) -> Option<String> {
    let many = progress.drones.len() > 1;
    Some(match news {
        News::Listed => {
            let files = match progress.total {
                1 => "1 test file".into(),
                count => format!("{count} test files"),
            };
            paint.dim(&format!("{files}, runner {}", progress.runner))
        }
        News::Bad(bad) => report::bad_block(bad, many, paint),
        News::Again(bad) => format!(
            "{} {}",
            report::bad_line(bad, many, paint),
            paint.yellow("is tried again")
        ),
        News::Flaky(path) => format!("{} {}", paint.yellow("flaky"), report::plain(path)),
        News::Command(bad) => report::command_block(bad, paint),
        News::Warned(warning) => {
            let text = format!("{}: {}", warning.source, warning.message);
            format!("{} {}", paint.yellow("warning"), report::plain(&text))
        }
        News::Retried(retry) => paint.yellow(&format!(
            "attempt {} of the whole job follows: {}",
            retry.attempt,
            report::plain(&retry.reason)
        )),
        // The summary says these.
        News::Started | News::Tested(_) | News::Deployed(_) | News::Errored(_) | News::Cancelled | News::Done => {
            return None;
        }
    })
}

/// `12/40 files · 2 bad · 4 running · 3 drones · about 35 s left`, or what it waits for.
fn status_line(progress: &Progress, now: Option<&NowView>, paint: Paint) -> String {
    if progress.started.is_none() {
        let why = now.and_then(|now| now.waits.as_deref()).map(report::plain);
        return why.map_or_else(|| "waiting".into(), |why| format!("waiting: {why}"));
    }
    if progress.total == 0 {
        return progress.phase.map_or("starting", |phase| phase.as_str()).into();
    }
    let mut line = format!("{}/{} files", progress.ended.len(), progress.total);
    if progress.bad() > 0 {
        let _ = write!(line, " · {}", paint.red(&format!("{} bad", progress.bad())));
    }
    if !progress.running.is_empty() {
        let _ = write!(line, " · {} running", progress.running.len());
    }
    if progress.drones.len() > 1 {
        let _ = write!(line, " · {} drones", progress.drones.len());
    }
    if let Some(end) = now.and_then(|now| now.expected_end) {
        let left = Timestamp(end).since(clock::now());
        if left > 500 {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds, for show")]
            let left = (left as f64 / 1000.0).ceil() * 1000.0;
            let _ = write!(line, " · about {} left", report::duration(left).replace(".00", ""));
        }
    }
    line
}

fn terminal_text(progress: &Progress, now: Option<&NowView>, paint: Paint) -> String {
    const WIDTH: usize = 24;
    let mut text = String::new();
    if let Some(full) = (progress.ended.len() * WIDTH).checked_div(progress.total) {
        let full = full.min(WIDTH);
        let bar = format!("{}{}", "━".repeat(full), paint.dim(&"─".repeat(WIDTH - full)));
        let colour = if progress.bad() > 0 { Paint::red } else { Paint::green };
        let _ = write!(text, "{} ", colour(paint, &bar));
    }
    text.push_str(&status_line(progress, now, paint));
    let running = progress.running_oldest_first();
    for file in running.iter().take(RUNNING_SHOWN) {
        let _ = write!(text, "\n     {}", ending(&report::plain(&file.path)));
        if let (Some(drone), true) = (&file.drone, progress.drones.len() > 1) {
            let _ = write!(text, " {}", paint.dim(drone));
        }
    }
    if running.len() > RUNNING_SHOWN {
        let more = format!("… and {} more", running.len() - RUNNING_SHOWN);
        let _ = write!(text, "\n     {}", paint.dim(&more));
    }
    text
}

/// The end of a long path, which tells more than its beginning.
fn ending(path: &str) -> String {
    let count = path.chars().count();
    if count <= PATH_SHOWN {
        return path.into();
    }
    let end: String = path.chars().skip(count - PATH_SHOWN + 1).collect();
    format!("…{end}")
}

fn summary_json(job: &JobView, progress: &Progress, links: &Links, code: u8) -> serde_json::Value {
    use shared::outcome::FileOutcome::{Crashed, Empty, Failed, Flaky, Passed, TimedOut};
    json!({
        "type": "summary",
        "job": job.id,
        "project": job.project,
        "state": job.state,
        "exit": code,
        "error": job.error,
        "test_code": job.test_code,
        "deploy_code": job.deploy_code,
        "files": {
            "total": progress.total,
            "passed": progress.count(Passed),
            "failed": progress.count(Failed),
            "flaky": progress.count(Flaky),
            "empty": progress.count(Empty),
            "timedout": progress.count(TimedOut),
            "crashed": progress.count(Crashed),
            "notrun": progress.not_run(),
        },
        "cases": progress.cases(),
        "wall_ms": progress.wall(),
        "sum_ms": progress.sum(),
        "url": links.live,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::progress::Running;
    use shared::{Attempt, Num};

    #[test]
    fn the_status_says_what_is_known() {
        let mut progress = Progress::default();
        assert_eq!(status_line(&progress, None, Paint(false)), "waiting");
        let now = NowView {
            waits: Some("no drone has label gpu".into()),
            expected_end: None,
            lower_bound: None,
            running: Vec::new(),
            drones: Vec::new(),
        };
        let line = status_line(&progress, Some(&now), Paint(false));
        assert_eq!(line, "waiting: no drone has label gpu");
        progress.started = Some(Timestamp(1));
        progress.total = 3;
        let file = Running {
            path: "x".repeat(100),
            drone: None,
            attempt: Attempt(1),
            since: Timestamp(1),
        };
        progress.running.insert(Num(1), file);
        assert_eq!(status_line(&progress, None, Paint(false)), "0/3 files · 1 running");
        let text = terminal_text(&progress, None, Paint(false));
        assert!(text.lines().nth(1).unwrap().chars().count() < 80, "{text}");
    }
}
