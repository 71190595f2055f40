"""The accounts have to find what is wrong: a run that went well, and then the same run with one thing changed.

    python3 scripts/chaos.d/test_account.py
"""

import json
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import account
import faults
import work


class Told:
    """A job whose two files ran once each, as a queen would have recorded it."""

    def __init__(self):
        chance = random.Random(7)
        repository = work.Repository(pathlib.Path("nowhere"), "plain", chance)
        repository.files = {path: repository.files[path] for path in list(repository.files)[:2]}
        self.job = work.Job(1, "plain", repository, chance, "mark", pathlib.Path("nowhere"))
        self.job.data["retries"] = 0
        self.events = [{"type": "job:queued", "args": [self.job.id, 1]}]
        for num, file in enumerate(repository.files.values(), 1):
            text = file.stdout(self.job.id)
            self.say("job:file:start", num, file.path, 0, 1, "drone")
            self.say("job:cmd:start", num, f"sh {file.path}", None, {})
            self.say("job:cmd:stdout", num, text[: len(text) // 2])
            self.say("job:cmd:stderr", num, file.stderr(self.job.id))
            self.say("job:cmd:stdout", num, text[len(text) // 2 :])
            self.say("job:cmd:done", num, 0, 5)
            self.say("job:file:done", num, file.path, 1, {"outcome": "passed", "exit": 0, "died": False}, "drone")
        self.say("job:done", 2)
        self.view = {"state": "passed"}
        self.files = [{"path": path, "outcome": "passed"} for path in repository.files]
        self.hits = {}

    def say(self, kind, *args):
        self.events.append({"type": kind, "args": [self.job.id, *args]})

    def first(self, kind):
        return next(event for event in self.events if event["type"] == kind)

    def found(self):
        """What the accounts say, and what they counted."""
        findings = account.Findings()
        books = account.Account(findings, account.collections.Counter(self.hits))
        lines = []
        for seq, event in enumerate(self.events, 1):
            event.setdefault("seq", seq)
            lines.append((event, json.dumps(event)))
        if not self.job.heard:
            self.job.heard = [hash(text) for _, text in lines]
        books.job(self.job, self.view, self.files, lines)
        return "\n".join(findings.texts), books.counts


class Accounts(unittest.TestCase):
    def setUp(self):
        self.told = Told()

    def finds(self, words, **counts):
        texts, counted = self.told.found()
        self.assertIn(words, texts)
        for name, count in counts.items():
            self.assertEqual(counted[name.replace("_", " ")], count, name)

    def output(self):
        """The whole output of the first command, in one piece."""
        first, second = [event for event in self.told.events if event["type"] == "job:cmd:stdout"][:2]
        first["args"][2] += second["args"][2]
        self.told.events.remove(second)
        return first["args"]

    def test_what_went_well_is_accounted_for(self):
        texts, counts = self.told.found()
        self.assertEqual(texts, "")
        self.assertEqual(counts["lines expected"], counts["lines found"])
        self.assertEqual(counts["files with a result"], 2)

    def test_a_line_is_missing(self):
        args = self.output()
        lines = args[2].splitlines(keepends=True)
        args[2] = "".join(lines[:3] + lines[4:])
        self.finds("is not as known", lines_missing=1, lines_repeated=0)

    def test_a_line_is_repeated(self):
        args = self.output()
        lines = args[2].splitlines(keepends=True)
        args[2] = "".join([*lines[:4], lines[3], *lines[4:]])
        self.finds("is not as known", lines_repeated=1, lines_missing=0)

    def test_two_lines_have_changed_places(self):
        args = self.output()
        lines = args[2].splitlines(keepends=True)
        args[2] = "".join([lines[1], lines[0], *lines[2:]])
        self.finds("is not as known", lines_out_of_order=1, lines_missing=0)

    def test_the_output_of_a_lost_attempt_is_no_beginning(self):
        args = self.output()
        args[2] = args[2][5:200]
        self.told.events.remove(self.told.first("job:cmd:done"))
        self.told.events.remove(self.told.first("job:file:done"))
        self.finds("is not as known")

    def test_the_output_of_a_lost_attempt_may_be_a_beginning(self):
        args = self.output()
        args[2] = args[2][:25]
        for kind in ("job:cmd:stderr", "job:cmd:done", "job:file:done"):
            self.told.events.remove(self.told.first(kind))
        texts, counts = self.told.found()
        self.assertNotIn("is not as known", texts)
        self.assertEqual(counts["attempts lost"], 1)

    def test_a_file_has_no_result(self):
        self.told.events.remove(self.told.first("job:file:done"))
        self.told.files[0]["outcome"] = None
        self.finds("has no result", files_without_one=1)

    def test_an_attempt_has_two_results(self):
        self.told.events.insert(-1, dict(self.told.first("job:file:done")))
        self.finds("has two results", results_twice=1)

    def test_an_attempt_was_handed_out_twice(self):
        for event in self.told.events[-8:-1]:
            event["args"] = [num if place != 1 else 9 for place, num in enumerate(event["args"])]
            if event["type"].startswith("job:file"):
                event["args"][2] = self.told.files[0]["path"]
        self.finds("was handed out 2 times")

    def test_a_file_failed_that_was_to_pass(self):
        self.told.first("job:file:done")["args"][4].update(outcome="failed", exit=1)
        self.told.files[0]["outcome"] = "failed"
        self.told.view["state"] = "failed"
        self.finds("exit 1, known is")

    def test_a_process_died_that_nobody_killed(self):
        self.told.first("job:file:done")["args"][4].update(exit=137, died=True)
        self.finds("nobody killed it")

    def test_a_job_passed_with_a_bad_file(self):
        self.told.first("job:file:done")["args"][4].update(outcome="crashed")
        self.finds("it is passed, and of its files")

    def test_a_job_errored_without_a_fault(self):
        self.told.view = {"state": "errored", "error": {"kind": "internal", "message": "no idea"}}
        self.finds("it errored: internal: no idea")

    def test_a_job_was_cancelled_by_nobody(self):
        self.told.view = {"state": "cancelled"}
        self.finds("nobody cancelled it")

    def test_an_event_is_missing_in_the_numbers(self):
        self.told.events[3]["seq"] = 9
        self.finds("are not numbered from 1 without gap")

    def test_something_comes_after_the_end(self):
        self.told.say("job:warning", {})
        self.finds("must be the last and the only one")

    def test_something_was_told_that_is_not_stored(self):
        self.told.found()
        self.told.events[4]["args"].append("changed")
        self.finds("what was told live is not what is stored, from event 5 on")

    def test_a_deploy_ran_twice(self):
        findings = account.Findings()
        job = self.told.job
        ran, twice = account.Account(findings, {}).deploys([job], [f"{job.id} begins", f"{job.id} ends", f"{job.id} begins"])
        self.assertEqual((ran, twice), (1, 1))
        self.assertIn("begun 2 times", findings.texts[0])


class Schedule(unittest.TestCase):
    def test_a_seed_is_a_schedule_and_holds_every_kind(self):
        one, same, other = (faults.schedule(seed, 200, 60, 4, True, True) for seed in (1, 1, 2))
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)
        self.assertEqual(len(one), 200)
        everything = faults.WEIGHTS | faults.DISK | faults.POSTGRES | faults.POSTGRES_DISK
        self.assertEqual({fault.kind for fault in one}, everything.keys())


if __name__ == "__main__":
    ended = unittest.main(exit=False).result
    bad = len(ended.failures) + len(ended.errors)
    # As the other test programs say it, for the sum at the end of scripts/test.
    print(f"# pass {ended.testsRun - bad}\n# fail {bad}")
    sys.exit(bool(bad))
