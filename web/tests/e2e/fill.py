"""Fills a queen's SQLite store, while the queen is down, with finished jobs as a farm of some years would have them.

    fill.py STORE JOBS [--projects 60] [--files 5000] [--now MS]

The first project is big: many files with a past, long names, markup in what people write. The same numbers give the same
jobs. The text index is left as it is, so that jobs made here are found by every filter but `text`.
"""

import argparse
import json
import random
import sqlite3
import time
import uuid

STATES = ["passed"] * 14 + ["failed"] * 4 + ["errored"] + ["cancelled"]
AUTHORS = [
    ("Ada Lovelace", "ada", "ada@example.org"),
    ("Grace Hopper", "grace", "grace@example.org"),
    ("<b>Mallory</b>", "mallory", "mallory@example.org"),
    ("Wolfeschlegelsteinhausenbergerdorff the Elder, of the Department of Long Names", "wolfe", "wolfe@example.org"),
]
MESSAGES = [
    "Fix the thing",
    "Speed up the tests by a factor that nobody expected, least of all those who had written them in the first place, and so on",
    "<script>alert('message')</script> & <img src=x onerror=alert(1)>",
    "\u05e2\u05d1\u05e8\u05d9\u05ea and \u65e5\u672c\u8a9e and \U0001f41d",
    "wip",
]
BRANCHES = ["main", "main", "main", "release/2.1", "feature/a-branch-with-a-name-that-goes-on-and-on-until-somebody-stops-it", "fix/<i>tag</i>"]
TRIGGERS = ["webhook", "webhook", "schedule", "manual"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("jobs", type=int)
    parser.add_argument("--projects", type=int, default=60)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--now", type=int, default=int(time.time() * 1000))
    args = parser.parse_args()
    chance = random.Random(7)
    base = sqlite3.connect(args.store)
    base.execute("PRAGMA synchronous = OFF")
    names = ["acme/rocket", "a-team-with-a-long-name/of-a-project-that-somebody-wanted-to-be-found-by-its-name-alone"]
    names += [f"team-{n % 7}/service-{n:03}" for n in range(2, args.projects)]
    names = names[: max(1, args.projects)]
    with base:
        keys = {}
        for name in names:
            base.execute("INSERT OR IGNORE INTO projects (name) VALUES (?)", (name,))
            keys[name] = base.execute("SELECT key FROM projects WHERE name = ?", (name,)).fetchone()[0]
        first = base.execute("SELECT coalesce(max(key), 0) + 1 FROM jobs").fetchone()[0]
        # Oldest first, so that keys and times go the same way.
        for n in range(args.jobs):
            add_job(base, chance, first + n, names, keys, args.now - (args.jobs - n) * 180_000)
        for name in names:
            base.execute("UPDATE projects SET jobs = (SELECT count(*) FROM jobs WHERE project = projects.key) WHERE key = ?", (keys[name],))
        add_files(base, chance, keys[names[0]], first + args.jobs - 1, args)
    base.close()


def add_job(base, chance, key, names, keys, submitted):
    # A third of all is the big project's.
    name = names[0] if chance.random() < 0.34 else chance.choice(names)
    state = chance.choice(STATES)
    author = chance.choice(AUTHORS)
    branch, kind, message = chance.choice(BRANCHES), chance.choice(TRIGGERS), chance.choice(MESSAGES)
    job = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    commit = f"{chance.getrandbits(160):040x}"
    total = 0 if state == "errored" else chance.choice([6, 48, 412, 5000])
    bad = chance.randint(1, 9) if state == "failed" else 0
    done = total if state != "cancelled" else chance.randint(0, total)
    took = int(chance.lognormvariate(10.5, 0.7))
    started = submitted + chance.randint(5, 4000)
    finished = started + took
    failure = {"kind": "source", "message": "the repository cannot be reached: connection refused"}
    standing = {
        "id": job, "state": state, "attempt": 1, "not_before": None, "started": started, "began": started, "lost": 0,
        "finished": finished, "next_token": 2, "next_num": 3,
        "plan": {"runner": "pytest", "retries": 0, "fail_fast": False, "order": "listed", "prepare_commands": 1, "cleanup_commands": 0},
        "test_code": {"passed": 0, "failed": 1}.get(state), "deploy_code": None, "deploy_given": False,
        "error": failure if state == "errored" else None, "cancel": "a newer push" if state == "cancelled" else None,
        "files_total": total, "files_done": done, "files_bad": min(bad, total),
    }
    spec = {
        "id": job, "project": name, "job_type": "TEST", "priority": 0, "labels": [], "plugins": [], "spread": None, "retries": 0,
        "timeout": None, "delay_until": None, "submitted": submitted,
    }
    data = {
        "job_id": job, "job_type": "TEST", "project": name, "ref": {"branch": branch, "id": commit},
        "repo": {"url": f"https://git.example/{name}.git", "vcs": "git"},
        "trigger": {
            "author": dict(zip(("name", "username", "email"), author)), "message": message,
            "source": {"app": "fill", "type": "API"}, "timestamp": submitted, "type": kind,
        },
    }
    base.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (key, job, keys[name], branch, kind, submitted, state, json.dumps(standing)))
    base.execute(
        "INSERT INTO job_data (job, digest, message, spec, data) VALUES (?, ?, ?, ?, ?)",
        (key, chance.randbytes(32), message, json.dumps(spec), json.dumps(data)),
    )
    base.execute("INSERT INTO streams (job, packed_to, epoch) VALUES (?, 0, ?)", (key, submitted))
    base.execute("INSERT INTO endings (job, at, log, rest) VALUES (?, ?, 0, 4096)", (key, finished))
    for one in author:
        base.execute("INSERT INTO job_authors VALUES (?, ?, ?, ?)", (one, submitted, job, key))


def add_files(base, chance, project, job, args):
    """What is known of the big project's files, and what ran within the last hour."""
    folders = ["tests/unit", "tests/api", "tests/<u>odd</u>", "tests/a/very/deep/folder/in/which/somebody/keeps/the/tests/of/the/thing"]
    for n in range(args.files):
        path = f"{folders[n % len(folders)]}/test_{n:05}.py"
        mean, runs = chance.lognormvariate(6, 1.4), chance.randint(1, 900)
        bad = chance.randint(0, runs) if n % 37 == 0 else 0
        flaky = chance.randint(1, 9) if n % 83 == 0 else 0
        base.execute(
            "INSERT OR REPLACE INTO durations (project, path, mean, timed, runs, bad, flaky, failed, last) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (project, path, mean, min(runs, 20), runs, bad, min(flaky, runs), int(n % 111 == 0), args.now - chance.randint(0, 10**9)),
        )
        outcome = "failed" if n % 111 == 0 else "passed"
        result = {"outcome": outcome, "exit": int(outcome != "passed"), "duration": mean, "cases": {"passed": 3}}
        at = args.now - int(3_600_000 * chance.random() ** 2)
        base.execute(
            "INSERT OR REPLACE INTO results (job, project, path, attempt, num, drone, at, outcome, duration, result)"
            " VALUES (?, ?, ?, 1, ?, 'host', ?, ?, ?, ?)",
            (job, project, path, n + 1, at, outcome, mean, json.dumps(result)),
        )
        base.execute(
            "INSERT INTO throughput VALUES (?1 % 1440, ?1, 1) ON CONFLICT (place) DO UPDATE SET"
            " files = CASE WHEN minute = ?1 THEN files + 1 ELSE 1 END, minute = ?1",
            (at // 60_000,),
        )


main()
