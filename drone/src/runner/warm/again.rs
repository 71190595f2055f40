//! What failed is run once more where something else than the file itself may have been the reason, so that neither what
//! files share nor what keeps them apart turns a green suite red.
//!
//! Owns when that is, and what people are told. Must not know templates or the pool. Read next: `../warm.rs`.

use super::{Cold, Line, Try, Warm, order};
use crate::{
    process::{Output, Stream},
    runner::{FileReport, FileRun},
};
use shared::{outcome::FileOutcome, settings::Isolation};
use std::{path::PathBuf, time::Duration};

impl Warm {
    /// Runs a file where nothing of another one can have made it fail.
    pub(super) async fn run_alone(
        &self,
        line: &Line,
        run: &FileRun<'_>,
        asked: Option<&[String]>,
    ) -> Result<FileReport, Cold> {
        let (first, is_fresh) = self.attempt(line, run, asked, Try::First).await?;
        let is_shared = !is_fresh && self.setting.isolation == Isolation::Auto;
        if !is_shared || !first.result.outcome.is_bad() {
            return Ok(first);
        }
        let what = format!(
            "{} failed in a process that had run other files; once more, in its own",
            run.file
        );
        self.say(run, &what).await;
        let (mut second, _) = self.attempt(line, run, asked, Try::Fresh).await?;
        if second.result.outcome == FileOutcome::Passed {
            second.warnings.push(format!(
                "{} failed in a process that had run other short files and passed in one of its own: it is counted as passed, \
                 but its tests see what others leave behind, or fail now and then; isolation = \"fork\" in [test] gives each \
                 file its own process",
                run.file
            ));
            self.note(self.alone(), run.file).await;
        }
        Ok(second)
    }

    async fn note(&self, folder: PathBuf, file: &str) {
        let (root, file) = (self.setting.root.clone(), file.to_owned());
        // Not noted: the next job finds it out again.
        let _ = tokio::task::spawn_blocking(move || order::note(&folder, &root, &file)).await;
    }

    /// A line of ours in the output of a file.
    async fn say(&self, run: &FileRun<'_>, what: &str) {
        let said = Output {
            stream: Stream::Stderr,
            text: format!("skep: {what}:\n"),
        };
        // Nobody listens any more: the file runs all the same.
        let _ = run.output.send(said).await;
    }

    /// A file that failed by itself is run once more where the whole suite is loaded: what passes there depends on other
    /// files, as it would in a run of them all. A part of a file that failed is run once more with the rest of its file.
    pub(super) async fn look_again(
        &self,
        run: &FileRun<'_>,
        asked: Option<&[String]>,
        first: &Line,
        mut report: FileReport,
    ) -> Result<FileReport, Cold> {
        if first.whole
            && run.part.is_none()
            && report.result.outcome == FileOutcome::Passed
            && self.is_dependent(run.file)
        {
            report.warnings.push(format!(
                "{} failed when an earlier job ran it by itself, or in parts; as a whole, and with the other files loaded, it \
                 passes: its tests depend on their order, or fail now and then",
                run.file
            ));
        }
        let may_depend = self.may_look_again()
            && (!first.whole || run.part.is_some())
            && matches!(report.result.outcome, FileOutcome::Failed | FileOutcome::Crashed);
        if !may_depend {
            return Ok(report);
        }
        // Without it, what was found stands. A file that hangs when it is imported is not waited for.
        let whole = tokio::time::timeout(run.timeout.unwrap_or(Duration::MAX), self.line(true));
        let Ok(Ok(line)) = whole.await else {
            return Ok(report);
        };
        let what = match run.part {
            None => format!("{} failed by itself; once more, with all files imported", run.file),
            Some(_) => format!("a part of {} failed; once more, with the whole file", run.file),
        };
        self.say(run, &what).await;
        let Ok((mut second, _)) = self.attempt(line, run, asked, Try::Again).await else {
            return Ok(report);
        };
        if second.result.outcome != FileOutcome::Passed {
            return Ok(report);
        }
        second.warnings.push(match run.part {
            None => format!(
                "{} failed when it was run by itself and passed when the other files had been loaded: it is counted as passed, \
                 but its tests depend on their order, or fail now and then",
                run.file
            ),
            Some(_) => format!(
                "a part of {} failed when it was run by itself and passed in a run of the whole file: it is counted as passed, \
                 but its tests depend on each other, or fail now and then; split = false in [test] keeps files whole",
                run.file
            ),
        });
        self.note(self.order(), run.file).await;
        Ok(second)
    }
}
