//! Following a job to its end, over lost connections and a queen that starts again; and `queen watch`.
//!
//! Knows events, not what submitted the job. Nothing is asked again and again: the stream tells, and how long it will
//! take is asked only after something has changed.

use super::{
    Failure, Global,
    client::{Client, ClientError, Events},
    exit,
    interrupt::Interrupts,
    progress::{Progress, read_line},
    report::{self, Links},
    screen::Screen,
};
use clap::Args;
use queen::{
    api::view::{JobView, NowView},
    clock::Stopwatch,
};
use shared::{JobId, Seq};
use std::{future::Future, pin::Pin, time::Duration};

/// How long a queen may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest and longest wait before the stream is opened again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The least time between two questions for the expected end.
const FORECAST_EVERY: Duration = Duration::from_secs(2);

/// What a signal means for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInterrupt {
    /// Somebody else's job: it goes on.
    Leave,
    /// Our own: it is cancelled, and waited for.
    Cancel,
}

/// How following ended.
#[derive(Debug)]
pub enum End {
    /// The job is over.
    Over(Box<JobView>),
    /// The user left before it was.
    Left,
    /// The queen did not come back.
    Lost(String),
}

/// Flags of `queen watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The job's id
    job: JobId,
    /// One line after the other, as where there is no terminal
    #[arg(long, env = "QUEEN_PLAIN")]
    plain: bool,
}

/// Follows somebody's job; Ctrl-C leaves it running.
pub async fn watch(global: &Global, args: WatchArgs) -> Result<u8, Failure> {
    follow_to_exit(global, &global.client()?, &args.job, args.plain).await
}

/// Follows a job and answers the exit code that says how it ended; Ctrl-C leaves it running.
pub async fn follow_to_exit(global: &Global, client: &Client, job: &JobId, plain: bool) -> Result<u8, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let view: JobView = client.get(&format!("jobs/{job}")).await?;
    let links = Links {
        live: format!("{}/jobs/{job}", client.base()),
        log: format!("queen logs {job}"),
    };
    let mut screen = Screen::new(global, plain);
    screen.begin(&view.id, &links.live);
    let mut progress = Progress::default();
    let end = follow(
        client,
        job,
        &mut progress,
        &mut screen,
        &mut interrupts,
        OnInterrupt::Leave,
    )
    .await;
    screen.close();
    match end? {
        End::Over(view) => {
            let code = report::exit_code(view.state, view.error.as_ref());
            screen.end(&view, &progress, &links, code);
            Ok(code)
        }
        End::Left => Ok(interrupts.exit_code()),
        End::Lost(why) => Err(Failure::new(exit::LOST, why)),
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Waits for what does not happen.
async fn maybe<T>(future: Option<&mut Boxed<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Shows a job's events until it is over, the user leaves, or the queen stays away.
pub async fn follow(
    client: &Client,
    job: &JobId,
    progress: &mut Progress,
    screen: &mut Screen,
    interrupts: &mut Interrupts,
    on_interrupt: OnInterrupt,
) -> Result<End, Failure> {
    let mut line = Line::open(client, job, progress.last);
    let mut now: Option<NowView> = None;
    let mut forecast: Option<Boxed<Option<NowView>>> = screen.shows_forecast().then(|| ask_forecast(client, job));
    let mut stale = false;
    let mut cancelling: Option<Boxed<Result<(), ClientError>>> = None;
    let mut asked_to_stop = false;
    while !progress.done {
        tokio::select! {
            item = line.next(progress.last) => match item {
                Heard::Event(text) => {
                    let Some(recorded) = read_line(&text) else { continue };
                    if recorded.seq <= progress.last {
                        continue;
                    }
                    let news = progress.on_event(&recorded);
                    stale = true;
                    screen.event(&text, progress, news.as_ref(), now.as_ref());
                }
                Heard::Over => break,
                Heard::Away(why) => screen.note(&format!("the connection to the queen is lost ({why}); trying again for {} s", PATIENCE.as_secs())),
                Heard::Lost(why) => return Ok(End::Lost(why)),
                Heard::Refused(error) => return Err(error.into()),
            },
            view = maybe(forecast.as_mut()) => {
                forecast = None;
                now = view;
                screen.refresh(progress, now.as_ref());
            }
            result = maybe(cancelling.as_mut()) => {
                cancelling = None;
                if let Err(error) = result {
                    screen.note(&format!("the job could not be cancelled: {error}"));
                }
            }
            () = interrupts.next() => {
                if on_interrupt == OnInterrupt::Leave || asked_to_stop {
                    return Ok(End::Left);
                }
                asked_to_stop = true;
                screen.note("cancelling; once more to leave at once");
                cancelling = Some(Box::pin(cancel(client.clone(), job.clone(), "stopped by the user who ran it")));
            }
        }
        if stale && forecast.is_none() && screen.shows_forecast() {
            stale = false;
            forecast = Some(ask_forecast(client, job));
        }
    }
    final_view(client, job).await
}

/// Asks the queen to stop a job.
pub async fn cancel(client: Client, job: JobId, reason: &str) -> Result<(), ClientError> {
    let body = serde_json::json!({"reason": reason});
    client
        .post::<serde_json::Value>(&format!("jobs/{job}/cancel"), &body)
        .await
        .map(drop)
}

/// The job as it stands at the end; a queen that is starting again is waited for.
async fn final_view(client: &Client, job: &JobId) -> Result<End, Failure> {
    let since = Stopwatch::start();
    let mut wait = BACKOFF.0;
    loop {
        match client.get::<JobView>(&format!("jobs/{job}")).await {
            Ok(view) => return Ok(End::Over(Box::new(view))),
            Err(error) if error.may_pass() && since.elapsed() < PATIENCE => tokio::time::sleep(wait).await,
            Err(error) if error.may_pass() => return Ok(End::Lost(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        wait = (wait * 2).min(BACKOFF.1);
    }
}

fn ask_forecast(client: &Client, job: &JobId) -> Boxed<Option<NowView>> {
    let (client, path) = (client.clone(), format!("jobs/{job}"));
    Box::pin(async move {
        tokio::time::sleep(FORECAST_EVERY).await;
        client.get::<JobView>(&path).await.ok()?.now
    })
}

/// What the line to the queen has to say.
enum Heard {
    Event(String),
    /// The job is over, and everything of it was heard.
    Over,
    /// The connection broke; it is being opened again.
    Away(String),
    /// It stayed broken for too long.
    Lost(String),
    /// The queen will not tell.
    Refused(ClientError),
}

/// A stream of events that is opened again when it breaks.
struct Line<'a> {
    client: &'a Client,
    job: &'a JobId,
    events: Option<Events>,
    away: Option<Stopwatch>,
    wait: Duration,
}

impl<'a> Line<'a> {
    fn open(client: &'a Client, job: &'a JobId, last: Seq) -> Self {
        Self {
            client,
            job,
            events: Some(client.events(job, last.next())),
            away: None,
            wait: BACKOFF.0,
        }
    }

    /// The next thing to know. May be dropped and called again: nothing is lost.
    async fn next(&mut self, last: Seq) -> Heard {
        loop {
            let broken = match &mut self.events {
                Some(events) => match events.next().await {
                    Some(Ok(text)) => {
                        (self.away, self.wait) = (None, BACKOFF.0);
                        return Heard::Event(text);
                    }
                    Some(Err(error)) if !error.may_pass() => return Heard::Refused(error),
                    Some(Err(error)) => Some(error.to_string()),
                    None => None,
                },
                None => {
                    tokio::time::sleep(self.wait).await;
                    self.wait = (self.wait * 2).min(BACKOFF.1);
                    self.events = Some(self.client.events(self.job, last.next()));
                    continue;
                }
            };
            self.events = None;
            let Some(why) = broken else {
                // Streams end when the job has; and when the queen stops, or the reader was too slow.
                match self.client.get::<JobView>(&format!("jobs/{}", self.job)).await {
                    Ok(view) if view.state.is_final() && view.last_seq <= last.0 => return Heard::Over,
                    Ok(_) => self.away = None,
                    Err(error) if !error.may_pass() => return Heard::Refused(error),
                    Err(error) => {
                        if let Some(heard) = self.gone(error.to_string()) {
                            return heard;
                        }
                    }
                }
                continue;
            };
            if let Some(heard) = self.gone(why) {
                return heard;
            }
        }
    }

    /// Notes that the queen is away; says so the first time, and when it was too long.
    fn gone(&mut self, why: String) -> Option<Heard> {
        match self.away {
            None => {
                self.away = Some(Stopwatch::start());
                Some(Heard::Away(why))
            }
            Some(since) if since.elapsed() >= PATIENCE => Some(Heard::Lost(format!(
                "the queen did not come back within {} s: {why}; the job may still be running, follow it with `queen watch {}`",
                PATIENCE.as_secs(),
                self.job
            ))),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
