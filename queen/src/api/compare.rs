//! A job beside an earlier one: what fails anew, what is mended, what takes longer.
//!
//! Two lists of files are laid side by side; nothing is written. Durations are as the drones measured them; whether one is
//! slower is judged by what the drones' speeds let expect. Read next: `jobs.rs`.

use super::{
    error::{Answer, ApiError},
    extract::{InJob, Query},
    jobs,
    view::{CompareView, ComparedFile, ErrorView, JobView, TimedFile},
};
use crate::{
    app::Context,
    store::{JobFilter, StoreError, StoredFile, StoredJob},
};
use axum::extract::State;
use serde::Deserialize;
use shared::{
    DroneId, JobId, JobState,
    outcome::{CaseResult, FileOutcome, FileResult},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Jobs that are looked through for one that ran the whole suite.
const LOOK: u32 = 200;
/// A file is slower or faster if its durations are this far apart at least, in milliseconds and by this factor.
const APART: (f64, f64) = (100.0, 1.25);

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(compare))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CompareQuery {
    /// The other job; absent: the newest one before it that passed with the whole suite, of its branch, else of its project.
    with: Option<String>,
}

/// What is otherwise in a job than in an earlier one.
#[utoipa::path(get, path = "/jobs/{id}/compare", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), CompareQuery),
    responses((status = 200, body = CompareView), (status = 400, body = ErrorView), (status = 404, body = ErrorView)))]
async fn compare(
    State(context): State<Context>,
    InJob(id): InJob,
    Query(query): Query<CompareQuery>,
) -> Answer<axum::Json<CompareView>> {
    let job = jobs::find(&context, &id).await?;
    let with = match query.with {
        Some(with) => Some(named(&context, &id, &with).await?),
        None => last_passed(&context, &job).await?,
    };
    let Some(with) = with else {
        return Ok(axum::Json(CompareView::default()));
    };
    let drones = context.engine.drones().await?;
    let (own, others) = tokio::try_join!(context.store.files(&id), context.store.files(&with.row.id))?;
    let mut sides = Sides {
        context: &context,
        job: &job,
        with: &with,
        speeds: drones.into_iter().map(|drone| (drone.drone, drone.speed)).collect(),
        view: CompareView {
            with: Some(JobView::of(&with)),
            ..CompareView::default()
        },
    };
    sides.files(own, others).await?;
    Ok(axum::Json(sides.view))
}

async fn named(context: &Context, id: &JobId, with: &str) -> Answer<StoredJob> {
    let with = JobId::new(with).map_err(|error| ApiError::bad_query(format!("with: {error}")))?;
    if with == *id {
        return Err(ApiError::bad_query(format!(
            "job {id} is to be compared with itself: give another job, or leave \"with\" out"
        )));
    }
    jobs::find(context, &with).await
}

/// The newest passed job before `job` that ran the whole suite, of its branch, else of its project; if there is none, the
/// newest that passed.
async fn last_passed(context: &Context, job: &StoredJob) -> Result<Option<StoredJob>, StoreError> {
    let mut filter = JobFilter {
        project: Some(job.data.project.clone()),
        branch: job.data.branch().map(Into::into),
        states: vec![JobState::Passed],
        before: Some(job.cursor()),
        limit: LOOK,
        ..JobFilter::default()
    };
    let mut part = None;
    loop {
        for job in context.store.jobs(&filter).await?.jobs {
            if job.row.files_total == 0 {
                continue;
            }
            if !is_part(&job) {
                return Ok(Some(job));
            }
            part = part.or(Some(job));
        }
        if filter.branch.take().is_none() {
            return Ok(part);
        }
    }
}

/// It was asked for some files only.
fn is_part(job: &StoredJob) -> bool {
    job.data.only.is_some() || !job.data.cases.is_empty()
}

struct Sides<'a> {
    context: &'a Context,
    job: &'a StoredJob,
    with: &'a StoredJob,
    /// How fast the known drones are, by all that was learned of them.
    speeds: HashMap<DroneId, f64>,
    view: CompareView,
}

/// A file in one of the two jobs: as a whole, or all its parts.
struct Side {
    path: String,
    parts: Vec<StoredFile>,
}

/// What counts against a file: the names of its cases, each with the command that told it.
type Bad = BTreeMap<String, Option<u32>>;

impl Side {
    /// Each file once, in the order of the list.
    fn all(files: Vec<StoredFile>) -> Vec<Self> {
        let mut sides: Vec<Self> = Vec::new();
        for file in files {
            let path = file.row.part.as_ref().map_or(&file.row.path, |part| &part.part.file);
            match sides.last_mut().filter(|side| side.path == *path) {
                Some(side) => side.parts.push(file),
                None => sides.push(Self {
                    path: path.clone(),
                    parts: vec![file],
                }),
            }
        }
        sides
    }

    /// How long it took, if it was run to some end.
    fn ran(&self) -> Option<f64> {
        let ran = |file: &StoredFile| {
            let outcome = file.row.outcome.filter(|outcome| *outcome != FileOutcome::NotRun);
            Some(file.result.as_ref().filter(|_| outcome.is_some())?.duration)
        };
        self.parts.iter().map(ran).sum()
    }

    /// Its durations, each times the speed of the drone that it was measured on.
    fn work(&self, speeds: &HashMap<DroneId, f64>) -> Option<f64> {
        let work = |file: &StoredFile| {
            let speed = speeds.get(file.row.drone.as_ref()?).filter(|speed| **speed > 0.0)?;
            Some(file.result.as_ref()?.duration * speed)
        };
        self.parts.iter().map(work).sum()
    }

    fn num(&self) -> Option<u32> {
        self.parts.first()?.row.num.map(|num| num.0)
    }
}

impl Sides<'_> {
    async fn files(&mut self, own: Vec<StoredFile>, others: Vec<StoredFile>) -> Result<(), StoreError> {
        let others = Side::all(others).into_iter();
        let mut others: HashMap<String, Side> = others.map(|side| (side.path.clone(), side)).collect();
        for file in Side::all(own) {
            let other = others.remove(&file.path);
            self.file(&file, other.as_ref()).await?;
            if other.is_none() && !is_part(self.with) {
                self.view.added.push(file.path);
            }
        }
        if !is_part(self.job) {
            self.view.removed = others.into_keys().collect();
            self.view.removed.sort_unstable();
        }
        let apart = |file: &TimedFile| (file.after - file.expected).abs();
        let most_first = |one: &TimedFile, other: &TimedFile| apart(other).total_cmp(&apart(one));
        self.view.slower.sort_by(most_first);
        self.view.faster.sort_by(most_first);
        Ok(())
    }

    async fn file(&mut self, file: &Side, other: Option<&Side>) -> Result<(), StoreError> {
        let Some(now) = file.ran() else { return Ok(()) };
        let then = other.and_then(|other| Some((other, other.ran()?)));
        let with_num = other.and_then(Side::num);
        let bad = self.bad(self.job, file).await?;
        let was_bad = match then {
            Some((other, _)) => self.bad(self.with, other).await?,
            None => None,
        };
        let entry = |name: Option<&String>| {
            let told = |side: &Option<Bad>| side.as_ref()?.get(name?).copied();
            ComparedFile {
                path: file.path.clone(),
                name: name.cloned(),
                num: told(&bad).unwrap_or_else(|| file.num()),
                with_num: told(&was_bad).unwrap_or(with_num),
            }
        };
        let entries = |names: &Option<Bad>, known: &Option<Bad>| match (names, known) {
            (None, _) => Vec::new(),
            (Some(names), known) if names.is_empty() => known.is_none().then(|| entry(None)).into_iter().collect(),
            // It was bad, and nothing says by which cases: these may be the same.
            (Some(_), Some(known)) if known.is_empty() => Vec::new(),
            (Some(names), known) => {
                let new = |name: &&String| known.as_ref().is_none_or(|known| !known.contains_key(*name));
                names.keys().filter(new).map(|name| entry(Some(name))).collect()
            }
        };
        let (new, fixed) = (entries(&bad, &was_bad), entries(&was_bad, &bad));
        self.view.new_failures.extend(new);
        self.view.fixed.extend(fixed);
        if let Some((other, then)) = then.filter(|_| bad.is_none() && was_bad.is_none()) {
            self.time(file, other, then, now);
        }
        Ok(())
    }

    /// The names of the cases that count against a file, none if it is not bad at all.
    async fn bad(&self, job: &StoredJob, file: &Side) -> Result<Option<Bad>, StoreError> {
        let mut bad = None;
        for part in &file.parts {
            let result = part.result.as_ref().filter(|result| result.outcome.is_bad());
            let Some(result) = result else { continue };
            let names = self.bad_cases(job, part, result).await?;
            let num = part.row.num.map(|num| num.0);
            bad.get_or_insert_with(Bad::new)
                .extend(names.into_iter().map(|name| (name, num)));
        }
        Ok(bad)
    }

    async fn bad_cases(
        &self,
        job: &StoredJob,
        file: &StoredFile,
        result: &FileResult,
    ) -> Result<BTreeSet<String>, StoreError> {
        let names = |cases: &[CaseResult]| {
            let bad = cases.iter().filter(|case| case.outcome.is_bad());
            bad.map(|case| case.name.clone()).collect::<BTreeSet<_>>()
        };
        let count = (result.cases.failed as usize).saturating_add(result.cases.errored as usize);
        // A result carries its first failures only.
        if count > result.failures.len()
            && job.log_removed.is_none()
            && let Some(num) = file.row.num
        {
            let cases = self.context.store.cases(&job.row.id, num, file.row.attempt).await?;
            if !cases.is_empty() {
                return Ok(names(&cases));
            }
        }
        Ok(names(&result.failures))
    }

    fn time(&mut self, file: &Side, other: &Side, before: f64, after: f64) {
        // Of a drone that is not known any more nothing can be said.
        let expected = match (other.work(&self.speeds), file.work(&self.speeds)) {
            (Some(then), Some(now)) if now > 0.0 => then * after / now,
            _ => before,
        };
        let (least, most) = (expected.min(after), expected.max(after));
        if most - least < APART.0 || most < least * APART.1 {
            return;
        }
        let timed = TimedFile {
            path: file.path.clone(),
            before,
            after,
            expected,
            num: file.num(),
            with_num: other.num(),
        };
        if after > expected {
            self.view.slower.push(timed);
        } else {
            self.view.faster.push(timed);
        }
    }
}
