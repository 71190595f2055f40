"""Keeps unittest warm: the framework is loaded once, and each child runs its file as `python -m unittest -v FILE` would.

unittest's own main reads the arguments, loads the file and prints; this only listens. It knows nothing of slots, queens
or time limits. The drone writes it as `skep_unittest.py`; read `drone/src/runner/warm.rs` for its other end.
"""

import importlib
import importlib.util
import json
import os
import re
import sys
import time
import traceback
import unittest

import skep_bytecode

# How to serve: `socket`; `collect`: import the whole suite first; `process`: no template, this process runs its one file;
# `keep`: a child runs file after file; `bytecode`: a folder for what Python makes of source; `bare`: nothing but unittest
# is loaded ahead.
SPEC = json.loads(os.environ.pop("SKEP_WARM"))
skep_bytecode.install(SPEC["bytecode"])

import skep_ahead  # noqa: E402
import skep_worker  # noqa: E402

# What unittest loads when it comes to need it.
LATE = "argparse", "difflib", "pprint", "unittest.mock", "unittest.async_case"


class State:
    """The worker that this process has become; nothing in the template."""

    worker = None


class Case:
    """What is known of a test that runs."""

    def __init__(self):
        self.began = time.perf_counter()
        self.outcome = None
        self.messages = []

    def add(self, outcome, message):
        # What it has failed of stays, whatever breaks after it.
        if self.outcome not in ("failed", "errored"):
            self.outcome = outcome
        if message:
            self.messages.append(message)


class Result(unittest.TextTestResult):
    """Prints as unittest does, and passes on each case when it has ended."""

    case = None

    def startTest(self, test):
        super().startTest(test)
        State.worker.begin(name(str(test)))
        self.case = Case()

    def stopTest(self, test):
        super().stopTest(test)
        case, self.case = self.case, None
        # A test of which only subtests failed has no outcome of its own.
        if case is not None and case.outcome is not None:
            say(test, case.outcome, time.perf_counter() - case.began, "\n".join(case.messages))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note(test, "passed")

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "errored", self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "failed", self.failures[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.note(test, "xfailed")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        # unittest counts it against the run.
        self.note(test, "failed", "unexpected success")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            is_failure = issubclass(err[0], test.failureException)
            say(subtest, "failed" if is_failure else "errored", None, (self.failures if is_failure else self.errors)[-1][1])

    def note(self, test, outcome, message=None):
        # What is said outside of a test, or of a part of one, stands by itself.
        if self.case is None or hasattr(test, "test_case"):
            say(test, outcome, None, message)
        else:
            self.case.add(outcome, message)


class Runner(unittest.TextTestRunner):
    resultclass = Result


def say(test, outcome, duration, message):
    place = {}
    if outcome in ("failed", "errored"):
        found = re.findall(r'File "(.+)", line (\d+)', message or "")
        if found:
            place = {"file": relative(found[-1][0]), "line": int(found[-1][1])}
    State.worker.case(name(str(test)), outcome, duration, message, **place)
    # What is torn down after it may take long, or end this process.
    State.worker.flush()


def name(text):
    """`test_x (m.C.test_x)`, `test_x (m.C)` and `test_x (m.C.test_x) (i=1)`: `C.test_x`, with the subtest's ` (i=1)`."""
    text = text.strip()
    method, bracket, rest = text.partition(" (")
    if not bracket:
        return text
    place, _, subtest = rest.partition(")")
    if place.endswith(method):
        place = place[: -len(method)].rstrip(".")
    if place.endswith("_FailedTest"):
        return method
    return "%s.%s%s" % (place.rpartition(".")[2], method, subtest)


def relative(path):
    path = os.path.abspath(path)
    root = os.getcwd() + os.sep
    return path[len(root) :] if path.startswith(root) else path


def run(path, cases):
    """Runs a file, or only these of its cases; the exit code of unittest's own command."""
    sys.argv[0] = "python -m unittest"
    # A subtest is a result of its test.
    chosen = [word for case in cases or () for word in ("-k", "*." + case.split(" ")[0])]
    try:
        unittest.main(module=None, argv=[sys.argv[0], "-v", path, *chosen, *sys.argv[1:]], testRunner=Runner)
    except SystemExit as exit:
        code = exit.code
        if isinstance(code, int):
            return code
        if code is not None:
            sys.stderr.write("%s\n" % code)
        return 0 if code is None else 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return 130
    except Exception:
        # What cannot be imported for another reason than an import: unittest itself would end by it.
        traceback.print_exc()
        return 1


def load():
    """What all files need. Begins again without it where it would stand in a file's way."""
    if SPEC.get("bare"):
        return
    paths = skep_ahead.files(".", r"test.*\.py$")
    with skep_ahead.quiet():
        is_sound = skep_ahead.load(paths, lambda name: name.rpartition(".")[2].startswith("test"))
        for module in LATE if is_sound else ():
            importlib.import_module(module)
        if SPEC.get("collect"):
            collect(paths)
    if not is_sound and not SPEC.get("collect"):
        os.environ["SKEP_WARM"] = json.dumps(dict(SPEC, bare=True))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]] if hasattr(sys, "orig_argv") else [sys.executable, *sys.argv])


def collect(paths):
    """The whole suite, in the order of a plain run; what cannot be imported says so when it is run."""
    for path in paths:
        try:
            __import__(path[:-3].replace(os.sep, "."))
        except (Exception, SystemExit):
            pass


def settle():
    """Makes this the process that `python -m unittest` would be: its first path, and its main module."""
    sys.path[0] = os.getcwd()
    main = sys.modules["__main__"]
    main.__spec__ = importlib.util.find_spec("unittest.__main__")
    main.__file__ = main.__spec__.origin
    main.__package__ = "unittest"


def main():
    settle()
    if SPEC.get("process"):
        worker = skep_worker.Worker(SPEC["socket"])
    else:
        load()
        worker = skep_worker.template(SPEC["socket"])
    State.worker = worker
    for work in worker.payloads():
        code = run(work["file"], work.get("cases"))
        skep_worker.flush()
        worker.done(code)
        if not SPEC.get("keep"):
            worker.leave(code)
    worker.leave(0)


main()
