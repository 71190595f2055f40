"""Holds what a queen has recorded against what is known: every job, file, result and line, and what was told meanwhile.

It reads recorded events and judges; it asks nobody. `chaos` asks, and prints what comes of it.
"""

import collections
import dataclasses
import re

COUNTS = (
    "files",
    "files with a result",
    "files without one",
    "attempts",
    "attempts lost",
    "results",
    "results twice",
    "commands",
    "commands cut short",
    "lines expected",
    "lines found",
    "lines missing",
    "lines repeated",
    "lines out of order",
    "lines unknown",
    "events",
    "events told live",
)


class Findings:
    """What is not as it must be. Empty: all is accounted for."""

    def __init__(self):
        self.texts = []

    def broken(self, text):
        self.texts.append(text)


@dataclasses.dataclass
class Command:
    """A command as it was recorded."""

    num: int
    text: str = ""
    path: str = ""
    attempt: int = 0
    round: int = 1
    starts: int = 0
    code: int | None = None
    ended: bool = False
    result: dict | None = None
    pieces: dict = dataclasses.field(default_factory=lambda: {"stdout": [], "stderr": []})

    def output(self, stream):
        return "".join(self.pieces[stream])


class Account:
    """Adds up over all jobs of a run."""

    def __init__(self, findings, hits):
        self.findings = findings
        # How often this script itself hit a process of (job, file).
        self.hits = hits
        self.counts = collections.Counter({name: 0 for name in COUNTS})
        self.states = collections.Counter()
        self.errors = collections.Counter()
        self.outcomes = collections.Counter()

    def job(self, job, view, files, events):
        """`events`: (event, its text) from the first to the last, `files` and `view` as the API shows them."""
        self.states[view["state"]] += 1

        def broken(text):
            self.findings.broken(f"{job.id}: {text}")

        for text in job.complaints:
            broken(text)
        self._stream(job, events, broken)
        commands, error, rounds = self._read(events, broken)
        for command in commands.values():
            if command.starts:
                self._output(job, command, broken)
            if command.result:
                self._result(job, command, broken)
        self._attempts(commands, broken)
        self._state(job, view, commands, error, rounds, broken)
        self._files(job, view, files, commands, rounds, broken)

    def _stream(self, job, events, broken):
        """Numbers without gap, one end, and nothing else than what was told live."""
        self.counts["events"] += len(events)
        self.counts["events told live"] += len(job.heard)
        numbers = [event["seq"] for event, _ in events]
        if numbers != list(range(1, len(events) + 1)):
            broken(f"its {len(events)} events are not numbered from 1 without gap")
        ends = [event["seq"] for event, _ in events if event["type"] == "job:done"]
        if ends != [len(events)]:
            broken(f"job:done stands at {ends} of {len(events)} events, and must be the last and the only one")
        stored = [hash(text) for _, text in events]
        if job.heard != stored:
            place = next((n for n, pair in enumerate(zip(job.heard, stored)) if pair[0] != pair[1]), min(len(job.heard), len(stored)))
            broken(f"what was told live is not what is stored, from event {place + 1} on ({len(job.heard)} told, {len(stored)} stored)")

    def _read(self, events, broken):
        commands = {}
        error = None
        rounds = 1

        def command(num):
            return commands.setdefault(num, Command(num, round=rounds))

        for event, _ in events:
            args = event["args"]
            match event["type"]:
                case "job:retry":
                    rounds += 1
                    error = None
                case "job:errored":
                    error = args[1]
                case "job:file:start":
                    one = command(args[1])
                    one.path, one.attempt, one.round = args[2], args[4], rounds
                case "job:cmd:start":
                    one = command(args[1])
                    one.text, one.round = args[2], rounds
                    one.starts += 1
                case "job:cmd:stdout" | "job:cmd:stderr" as kind:
                    one = command(args[1])
                    if one.ended or not one.starts:
                        broken(f"command {args[1]} has output {'after its end' if one.ended else 'before its start'}")
                    one.pieces[kind.rpartition(":")[2]].append(args[2])
                case "job:cmd:done":
                    one = command(args[1])
                    if one.ended:
                        broken(f"command {args[1]} ended twice")
                    one.ended, one.code = True, args[2]
                case "job:file:done":
                    one = command(args[1])
                    self.counts["results"] += 1
                    if one.result:
                        self.counts["results twice"] += 1
                        broken(f"command {args[1]} ({args[2]}, attempt {args[3]}) has two results")
                    one.path, one.attempt, one.result = args[2], args[3], args[4]
        for one in commands.values():
            if one.starts > 1:
                broken(f"command {one.num} was begun {one.starts} times")
        return commands, error, rounds

    def _script(self, job, command):
        return job.repository.files.get(command.path) if command.path else job.repository.commands.get(command.text)

    def _output(self, job, command, broken):
        """Whole where the command came to its end, the beginning of it where it did not; never anything else."""
        script = self._script(job, command)
        if script is None:
            return
        self.counts["commands"] += 1
        codes = script.code if isinstance(script.code, tuple) else (script.code,)
        whole = command.ended and command.code in codes and not (command.code >= 128 and self._was_hit(job, command))
        if command.result and command.result["outcome"] == "timedout":
            # By a clock that this script stops too now and then.
            whole = False
        if not whole:
            self.counts["commands cut short"] += 1
            if command.ended and command.code is not None and command.code not in codes and command.code < 128:
                broken(f"command {command.num} ({script.name}) ended with {command.code}")
        known, found = script.stdout(job.id), command.output("stdout")
        known_errors = script.stderr(job.id)
        # A shell may say what was killed; lines of ours are known by their first letter.
        said = command.output("stderr").splitlines(keepends=True)
        found_errors = "".join(line for line in said if line.startswith("E "))
        right = True
        for one, other in ((known, found), (known_errors, found_errors)):
            right = right and (one == other if whole else one.startswith(other))
        count = known.count("\n") if whole else found.count("\n")
        self.counts["lines expected"] += count
        self.counts["lines found"] += found.count("\n")
        if not right:
            self._lines(known if whole else known[: len(found)], found)
            place = next((n for n, pair in enumerate(zip(known, found)) if pair[0] != pair[1]), min(len(known), len(found)))
            broken(
                f"the output of command {command.num} ({script.name}, attempt {command.attempt}, code {command.code}) is not as known: stdout has "
                f"{len(found)} of {len(known)} characters, stderr {len(found_errors)} of {len(known_errors)}, the first {place} are right: "
                f"{found[max(0, place - 60) : place + 60]!r}"
            )

    def _lines(self, known, found):
        known, found = known.splitlines(), found.splitlines()
        places = {line: number for number, line in enumerate(known)}
        seen = collections.Counter(found)
        self.counts["lines missing"] += sum(1 for line in known if line not in seen)
        self.counts["lines repeated"] += sum(count - 1 for count in seen.values())
        order = [places[line] for line in found if line in places]
        self.counts["lines out of order"] += sum(1 for one, other in zip(order, order[1:]) if other < one)
        self.counts["lines unknown"] += sum(1 for line in found if line not in places)

    def _was_hit(self, job, command):
        return bool(self.hits[job.id, command.path])

    def _result(self, job, command, broken):
        """A result says what is known of its file, or that the process died where somebody killed it."""
        result = command.result
        file = job.repository.files.get(command.path)
        if file is None:
            return broken(f"there is a result of {command.path}, which is no file of this job")
        codes = file.code if isinstance(file.code, tuple) else (file.code,)
        died, exit_code = result.get("died"), result.get("exit")
        is_cut = result["outcome"] in ("crashed", "notrun", "timedout")
        if not died and not is_cut and exit_code not in codes:
            broken(f"{command.path}, attempt {command.attempt}: exit {exit_code}, known is {codes}")
        if died and not self._was_hit(job, command) and "crashed" not in file.outcomes:
            broken(f"{command.path}, attempt {command.attempt}, died with {exit_code}, and nobody killed it")
        if result["outcome"] == "timedout" and "timedout" not in file.outcomes:
            broken(f"{command.path}, attempt {command.attempt}, was over a time limit that it does not have")

    def _attempts(self, commands, broken):
        tries = collections.defaultdict(list)
        for command in commands.values():
            if command.path:
                tries[command.round, command.path, command.attempt].append(command)
        self.counts["attempts"] += len(tries)
        for (_, path, attempt), same in tries.items():
            results = sum(1 for command in same if command.result)
            if len(same) > 1:
                broken(f"{path}, attempt {attempt}, was handed out {len(same)} times")
            if results > 1:
                self.counts["results twice"] += results - 1
                broken(f"{path}, attempt {attempt}, has {results} results")
            self.counts["attempts lost"] += not results

    def _state(self, job, view, commands, error, rounds, broken):
        """What the job ended as follows from its files, from a cancel, or from what was lost."""
        state = view["state"]
        if rounds - 1 > job.retries:
            broken(f"it was tried {rounds} times, with {job.retries} retries")
        if state == "errored":
            message = (error or view.get("error") or {}).get("message", "")
            kind = (error or view.get("error") or {}).get("kind", "")
            known = {
                "deploy lost": kind == "lost" and job.deploys and "lost during the deploy" in message,
                "drones lost": kind == "lost" and "its drone was lost" in message,
                "disk full": bool(re.search(r"No space left|os error 28|disk.*full", message)),
            }
            reason = next((name for name, is_it in known.items() if is_it), None)
            self.errors[reason or kind] += 1
            if reason is None:
                broken(f"it errored: {kind}: {message}")
            return
        if state == "cancelled":
            if not job.cancelled:
                broken("it is cancelled, and nobody cancelled it")
            return
        last = {command.path: command for command in commands.values() if command.path and command.result and command.round == rounds}
        bad = [path for path, command in last.items() if command.result["outcome"] not in ("passed", "flaky", "empty")]
        expected = "failed" if bad else "passed"
        if state not in ("passed", "failed"):
            broken(f"it stands at {state}")
        elif state != expected and not job.deploys:
            broken(f"it is {state}, and of its files {bad or 'none'} are bad")

    def _files(self, job, view, files, commands, rounds, broken):
        """Every file of a job that was tested to its end has one outcome, and the one that is known."""
        if view["state"] not in ("passed", "failed"):
            return
        expected = job.repository.files
        self.counts["files"] += len(expected)
        shown = {file["path"]: file for file in files}
        if len(shown) != len(files):
            broken("a file stands twice in its list")
        for path in shown.keys() - expected.keys():
            broken(f"{path} is listed, and is no file of this job")
        for path, file in expected.items():
            outcome = shown.get(path, {}).get("outcome")
            results = [c for c in commands.values() if c.path == path and c.result and c.round == rounds]
            if outcome is None or not results:
                self.counts["files without one"] += 1
                broken(f"{path} has no result (it is listed as {shown.get(path)})")
                continue
            self.counts["files with a result"] += 1
            self.outcomes[outcome] += 1
            if outcome == max(results, key=lambda command: command.attempt).result["outcome"] and outcome in file.outcomes:
                continue
            tries = [c for c in commands.values() if c.path == path and c.round == rounds]
            lost = sum(1 for c in tries if not c.result or c.result.get("died") or c.result["outcome"] == "crashed")
            if not (outcome == "crashed" and lost >= 3):
                last = max(results, key=lambda command: command.attempt)
                known = " or ".join(file.outcomes)
                broken(f"{path} is {outcome}, and must be {known}; its last result is {last.result['outcome']}, {lost} attempts were lost")

    def deploys(self, jobs, ledger):
        """How often each deploy was begun and ended; twice is what must never be."""
        notes = collections.Counter(ledger)
        ran, twice = 0, 0
        for job in jobs:
            begun, ended = notes[f"{job.id} begins"], notes[f"{job.id} ends"]
            ran += begun > 0
            twice += begun > 1
            if begun > 1 or ended > begun:
                self.findings.broken(f"{job.id}: its deploy was begun {begun} times and ended {ended} times")
        return ran, twice
