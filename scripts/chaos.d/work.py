"""Jobs with known output: repositories, what each file prints and how it ends, and the client that submits and follows.

Every line that a command prints names job, file and line number, so that a line that is missing, doubled or out of place
shows. Nothing here knows of faults. Read next: account.py.
"""

import asyncio
import json
import random
import subprocess
import time

import ask
from machine import MARK

FILLER = "abcdefghijklmnopqrstuvwxyz0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ+"
# Shared by all scripts. The lines of a block are written by one process, so that a block is there or not.
LIBRARY = r"""
filler='%s'
lines() { # FROM TO
  awk -v head="$SKEP_JOB_ID $name" -v from="$1" -v to="$2" -v filler="$filler" 'BEGIN {
    for (n = from; n <= to; n++) {
      line = head " " n " " substr(filler, 1, n * 7 %% 61)
      if (n %% 5 == 0) line = "\033[31m" line "\033[0m"
      print line
    }
  }'
}
run() { # BLOCKS LINES PAUSE
  block=0
  while [ $block -lt $1 ]; do
    lines $((block * $2 + 1)) $(((block + 1) * $2))
    echo "E $SKEP_JOB_ID $name $block" >&2
    [ "$3" = 0 ] || sleep "$3"
    block=$((block + 1))
  done
}
""" % FILLER


def line(job, name, number):
    text = f"{job} {name} {number} {FILLER[: number * 7 % 61]}"
    return f"\033[31m{text}\033[0m" if number % 5 == 0 else text


class Script:
    """A command whose output and end are known."""

    def __init__(self, name, blocks, size, pause, end="exit 0", before="", last="", code=0):
        self.name = name
        self.lines = blocks * size
        self.blocks = blocks
        self.last = last
        self.code = code
        tail = f"printf '%s' '{last}'\n" if last else ""
        self.text = f"name={name}\n. ./library.sh\n{before}run {blocks} {size} {pause}\n{tail}{end}\n"

    def stdout(self, job):
        return "".join(line(job, self.name, number) + "\n" for number in range(1, self.lines + 1)) + self.last

    def stderr(self, job):
        return "".join(f"E {job} {self.name} {block}\n" for block in range(self.blocks))


class File(Script):
    """A test file, and how it ends in the end: any of `outcomes`."""

    def __init__(self, path, *shape, outcomes=("passed",), **how):
        super().__init__(path, *shape, **how)
        self.path = path
        self.outcomes = outcomes


STRAYS = (
    "setsid sleep 600 &\n",
    "setsid sleep 600 >/dev/null 2>&1 &\n",
    "(setsid sh -c 'sleep 600; :' >/dev/null 2>&1 &)\n",
    "trap '' TERM; (trap '' TERM; sleep 600 >/dev/null 2>&1 &)\n",
)


def files_of(kind, chance):
    """The files of a repository of one kind."""

    def plain(number, **how):
        last = "the end has no newline" if chance.random() < 0.3 else ""
        shape = (chance.randint(3, 9), chance.randint(1, 30), round(chance.uniform(0.05, 0.3), 2))
        return File(f"tests/{kind}-{number:02}.t", *shape, **{"last": last, **how})

    def path(word):
        return f"tests/{kind}-{word}.t"

    files = [plain(number) for number in range(chance.randint(4, 8))]
    match kind:
        case "failing":
            for code in (1, 3, 77):
                files.append(plain(90 + code % 9, end=f"exit {code}", code=code, outcomes=("failed",)))
        case "killer":
            kill = {"end": "kill -9 $$", "code": 137, "outcomes": ("crashed",)}
            files.append(File(path("kill"), 3, 10, 0.1, **kill))
            files.append(plain(99, end="kill -6 $$", code=134, outcomes=("crashed",)))
        case "heavy":
            files += [File(path(f"heavy-{number}"), 6, 6000, 0, outcomes=("passed",)) for number in range(2)]
        case "stray":
            files += [plain(80 + number, before=stray) for number, stray in enumerate(STRAYS)]
        case "flaky":
            # The folder stands outside of the workspace: the first try makes it and fails, the second finds it.
            end = 'mkdir "$CHAOS_PLACE/$SKEP_JOB_ID" 2>/dev/null && exit 9; exit 0'
            files.append(File(path("flaky"), 3, 5, 0.1, end=end, code=(0, 9), outcomes=("flaky", "passed")))
        case "slow":
            # Its settings have a time limit, which any file may break that is stopped for a while.
            for file in files:
                file.outcomes = ("passed", "timedout")
            files.append(File(path("slow"), 3, 5, 0.1, end="while :; do sleep 1; done", code=None, outcomes=("timedout",)))
    return files


KINDS = ("plain", "failing", "killer", "heavy", "stray", "flaky", "slow", "deploy", "cancel")


class Repository:
    def __init__(self, folder, kind, chance):
        self.folder = folder
        self.kind = kind
        self.files = {file.path: file for file in files_of(kind, chance)}
        self.commands = {f"sh {name}.sh": Script(name, 2, 4, 0.1) for name in ("prepare", "cleanup")}
        self.commands["sh deploy.sh"] = Script("deploy", 6, 5, 0.3, before=note("begins"), end=note("ends"))

    def make(self):
        (self.folder / "tests").mkdir(parents=True)
        (self.folder / "library.sh").write_text(LIBRARY)
        for file in self.files.values():
            (self.folder / file.path).write_text(file.text)
        for script in self.commands.values():
            (self.folder / f"{script.name}.sh").write_text(script.text)
        timeout = "timeout = 4\n" if self.kind == "slow" else ""
        retries = 2 if self.kind == "flaky" else 0
        (self.folder / "skep.toml").write_text(
            '[prepare]\nrun = "sh prepare.sh"\n[deploy]\nrun = "sh deploy.sh"\n[cleanup]\nrun = "sh cleanup.sh"\n'
            f'[test]\nrunner = "command"\ncommand = "exec sh {{file}}"\nfiles = "tests/*.t"\nretries = {retries}\n{timeout}'
        )
        git = ["git", "-c", "user.name=chaos", "-c", "user.email=chaos@localhost", "-c", "gc.auto=0"]
        for words in (["init", "--quiet", "--initial-branch", "main"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
            subprocess.run([*git, *words], cwd=self.folder, check=True)


def note(word):
    """Shell: one line in the ledger, which stands outside of every workspace."""
    return f'echo "$SKEP_JOB_ID {word}" >>"$CHAOS_PLACE/ledger"\n'


class Job:
    """A job, what the client was told of it, and when it has ended."""

    def __init__(self, number, kind, repository, chance, mark, place):
        self.id = f"chaos-{number:03}-{kind}"
        self.kind = kind
        self.repository = repository
        self.deploys = kind == "deploy"
        # Cancelled so many seconds after its first line of output, if it has not ended by then.
        self.cancel_after = chance.uniform(0.0, 2.5) if kind == "cancel" else None
        self.cancelled = False
        self.data = {
            "job_id": self.id,
            "project": f"chaos/{kind}",
            "repo": {"url": str(repository.folder)},
            "ref": {"branch": "main"},
            "job_type": "TEST&DEPLOY" if self.deploys else "TEST",
            "trigger": {"type": "manual", "timestamp": int(time.time() * 1000)},
            "retries": 0 if kind in ("failing", "killer", "slow") else chance.choice((0, 1, 3)),
            "config": {"env": {MARK: mark, "CHAOS_PLACE": str(place)}},
        }
        if chance.random() < 0.3:
            self.data["spread"] = chance.randint(1, 3)
        # What was heard live: events by number, as they were told.
        self.heard = []
        self.complaints = []
        self.ended = asyncio.Event()

    @property
    def retries(self):
        return self.data["retries"]


class Client:
    """Submits jobs and follows them, over whatever way it is given; what is not answered is asked again."""

    def __init__(self, base):
        self.base = base
        self.lost = 0

    async def insist(self, method, path, body=None):
        """Asks until there is an answer that settles it: (status, text)."""
        while True:
            try:
                status, text = await asyncio.wait_for(ask.request(self.base(), method, path, body), 20)
                if status < 500 and status not in (408, 429):
                    return status, text
            except (OSError, EOFError, ValueError, asyncio.TimeoutError):
                pass
            self.lost += 1
            await asyncio.sleep(0.3)

    async def submit(self, job):
        status, text = await self.insist("POST", "/api/v1/jobs", job.data)
        if status not in (200, 201):
            job.complaints.append(f"the submission was answered {status}: {text}")
            job.ended.set()

    async def follow(self, job):
        """Hears the job's events live to the last one, each once, over however many connections it takes."""
        while not job.ended.is_set():
            last = len(job.heard)
            try:
                async for event, raw in ask.events(self.base(), f"/api/v1/jobs/{job.id}/events?from={last + 1}"):
                    if event["seq"] != len(job.heard) + 1:
                        job.complaints.append(f"event {event['seq']} was told where {len(job.heard) + 1} was to come")
                        break
                    job.heard.append(hash(raw))
                    if event["type"] == "job:done":
                        job.ended.set()
                    elif event["type"] == "job:cmd:stdout" and job.cancel_after is not None and not job.cancelled:
                        job.cancelled = True
                        asyncio.get_running_loop().call_later(job.cancel_after, lambda: asyncio.ensure_future(self.cancel(job)))
            except (OSError, EOFError, ValueError, asyncio.TimeoutError):
                pass
            if not job.ended.is_set():
                await asyncio.sleep(0.3)

    async def cancel(self, job):
        if not job.ended.is_set():
            await self.insist("POST", f"/api/v1/jobs/{job.id}/cancel", {"reason": "chaos"})


def plan(seed, count):
    """Kinds of jobs in their order: each kind in every round, mixed."""
    chance = random.Random(seed)
    kinds = []
    while len(kinds) < count:
        # Plain ones twice: they see the most faults without a word of their own.
        deck = [*KINDS, "plain", "deploy"]
        chance.shuffle(deck)
        kinds += deck
    return kinds[:count]


async def read(base, path):
    """A JSON answer of a queen that is well."""
    status, text = await ask.request(base, "GET", path)
    if status != 200:
        raise RuntimeError(f"GET {path}: {status} {text}")
    return json.loads(text)
