"""Keeps pytest warm: a plugin that takes over where pytest would collect, and forks a child for each file.

pytest starts as it always does, by its own command, and so has its own `sys.path`, configuration, plugins and first
conftests; then this serves the drone (`skep_worker.py`) in place of the one run. The template collects the folders, and
with them every conftest; each child collects and runs its file in the one configured session, and pytest itself ends it. It knows nothing of slots, queens or time limits. The drone
writes it as `skep_pytest.py`; read `drone/src/runner/warm.rs` for its other end.
"""

import contextlib
import inspect
import io
import json
import os
import pathlib
import sys
import tempfile
from time import perf_counter

import _pytest.main
import _pytest.python
import pytest
import skep_bytecode
import skep_share
import skep_worker
from _pytest.assertion import rewrite
from _pytest.config import ExitCode, UsageError
from _pytest.main import wrap_session
from _pytest.pathlib import fnmatch_ex

# How to serve: `socket`; `prime`: a trivial suite is run first; `collect`: the whole suite's files are imported first;
# `process`: no template, this process runs its one file; `keep`: a child runs file after file; `share`: a child may run some
# short files. `bytecode`: `plugin.py`'s. `path`: what PYTHONPATH was before it led here.
SPEC = json.loads(os.environ.pop("SKEP_WARM"))
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
if SPEC.get("path") is None:
    os.environ.pop("PYTHONPATH", None)
else:
    os.environ["PYTHONPATH"] = SPEC["path"]

# Runs once before the first fork, if there will be many: each then finds pytest's code as it is after it has run. That spares
# a child some 2 ms, and costs 80.
PRIMER = """
import pytest
@pytest.fixture
def one(tmp_path, monkeypatch): yield 1
@pytest.mark.parametrize("x", [1, 2])
def test_primer(one, x, capsys):
    with pytest.raises(ValueError, match="a"): raise ValueError("a")
    assert x in (1, 2)
class TestPrimer:
    def test_method(self): pass
"""
RANK = {"passed": 0, "xpassed": 1, "xfailed": 1, "skipped": 1, "errored": 2, "failed": 3}


class State:
    """The worker that this process has become; nothing in the template."""

    worker = None
    # The template's nodes of folders and, of a suite that was imported as a whole, of files, by path.
    folders = {}
    files = {}
    # What could not be collected there.
    reports = []
    # Cases that run: what is known of each so far.
    cases = {}
    # The only part of the file that is run; all where there is none.
    part = None
    # The only ones to tell of, by node id; all where there are none.
    told = None
    # Learns how the file can be split, if that is wanted.
    groups = None
    # The modules of the files that this process has run.
    modules = set()


def prime():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "test_skep_primer.py")
        with open(path, "w") as file:
            file.write(PRIMER)
        names = "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_CURRENT_TEST"
        env = {name: os.environ.pop(name) for name in names if name in os.environ}
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        paths, cwd, out = list(sys.path), os.getcwd(), (sys.stdout, sys.stderr)
        sys.stdout = sys.stderr = io.StringIO()
        try:
            # Without confcutdir, pytest would look through the folders around this one.
            alone = ["-c", os.devnull, "--rootdir", folder, "--confcutdir", folder, "--noconftest"]
            pytest.main([path, *alone, "-p", "no:cacheprovider", "-q", "--basetemp", os.path.join(folder, "t")])
        finally:
            sys.stdout, sys.stderr = out
            os.environ.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
            os.environ.update(env)
            os.chdir(cwd)
            sys.path[:] = paths
            sys.modules.pop("test_skep_primer", None)
            for name in "last_type", "last_value", "last_traceback", "last_exc":
                sys.__dict__.pop(name, None)


if SPEC.get("prime"):
    prime()
else:
    # pytest loads them late.
    import faulthandler  # noqa: F401
    import pdb  # noqa: F401


def pytest_addoption(parser, pluginmanager):
    # pytest-cov begins to measure while pytest starts; of files apart it would say that each covers too little.
    pluginmanager.getplugin("pytestconfig").option.no_cov = True


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    option = config.option
    if getattr(option, "help", False) or getattr(option, "version", False):
        return None
    if getattr(option, "cov_source", None):
        skep_worker.WARNINGS.append("no coverage is measured: its data would be of one file at a time")
    # The files are handed out by the drone: pytest-xdist is not to hand out each one again.
    for name, value in ("numprocesses", None), ("maxprocesses", None), ("dist", "no"), ("tx", []), ("looponfail", False):
        if hasattr(option, name):
            setattr(option, name, value)
    code = wrap_session(config, serve)
    if State.worker is None:
        return code
    if State.worker.owes:
        State.worker.done(code)
    State.worker.leave(int(code))


def serve(config, session):
    """What pytest calls in place of collecting and running everything."""
    keep_rewritten(config)
    if SPEC.get("process"):
        worker = skep_worker.Worker(SPEC["socket"])
    else:
        base = base_folder(config)
        look(config, session)
        release(config)
        worker = skep_worker.template(SPEC["socket"])
        take_capture(config)
        settle(config, base, worker.ident)
    State.worker = worker
    if SPEC.get("keep"):
        serve_all(config, session)
    try:
        return serve_some(config, session)
    finally:
        leave_cache(config)


def serve_all(config, session):
    """Runs whatever comes, in a process that pytest does not end."""
    for work in State.worker.payloads():
        code, is_sound = guarded(config, session, work)
        State.worker.done(code)
        if not is_sound:
            break
    session._setupstate.teardown_exact(None)
    State.worker.leave(0)


def serve_some(config, session):
    """Runs one file, and others after it while that cannot be told from a process for each: all were short, passed, and
    left nothing behind that can be seen. pytest ends the session with the last one."""
    spent, code, clean = 0.0, None, None
    terminal = skep_share.Terminal(config)
    for work in State.worker.payloads():
        module = skep_share.module_of(work["file"])
        if code is not None and (work.get("fresh") or module in State.modules):
            State.worker.refuse()
            break
        State.modules.add(module)
        clean = clean or skep_share.traces()
        began = perf_counter()
        code = run(config, session, work)
        spent += perf_counter() - began
        is_whole = not (work.get("part") or work.get("again"))
        is_good = code in (ExitCode.OK, ExitCode.NO_TESTS_COLLECTED)
        may_share = SPEC.get("share") and is_whole and is_good and spent < skep_share.LONG
        if not (may_share and skep_share.ends_alone(config) and skep_share.traces() == clean):
            break
        code = terminal.finish(session, code)
        skep_worker.flush()
        State.worker.done(code, more=True)
    if code is None:
        State.worker.leave(0)
    return code


def keep_rewritten(config):
    """Lets pytest find what it has made of a file's source in another job, as Python finds what it has made of others'."""
    read, rewrites = getattr(rewrite, "_read_pyc", None), getattr(rewrite, "_rewrite_test", None)
    if not (read and rewrites and skep_bytecode.PLACE) or not hasattr(pytest, "version_tuple"):
        # Before pytest 7 it reads and writes them in another way.
        return
    try:
        passes = config.getini("enable_assertion_pass_hook")
    except ValueError:
        passes = None
    maker = "pytest", pytest.__version__, passes

    def read_kept(path, *more):
        code = read(path, *more)
        return skep_bytecode.find(maker, pathlib.Path(path).read_bytes(), path) if code is None else code

    def make_and_keep(path, *more):
        # What stands first is for the file beside the source.
        made = []

        def make():
            made[:] = rewrites(path, *more)
            return made[1]

        code = skep_bytecode.keep(maker, pathlib.Path(path).read_bytes(), make)
        return made[0], code

    rewrite._read_pyc, rewrite._rewrite_test = read_kept, make_and_keep


def release(config):
    """Gives the template its own output back; a child begins anew. To close what was captured writes it to the disk."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()


def take_capture(config):
    """As pytest has it between configuration and collection."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.start_global_capturing()
        capture.suspend_global_capture()


def base_folder(config):
    """The folder of all `tmp_path`s, made once; as with pytest-xdist, each child has a folder in it."""
    factory = getattr(config, "_tmp_path_factory", None)
    try:
        return factory and factory.getbasetemp()
    except Exception:
        # A test that wants one will say why there is none.
        return None


def settle(config, base, ident):
    """Keeps children that run side by side out of each other's files."""
    if base is not None:
        own = base / ("w%d" % ident)
        own.mkdir(mode=0o700)
        factory = config._tmp_path_factory
        factory._basetemp = own
        # The folder around it, and those of earlier runs, are the template's to clear away.
        for held in vars(factory).values():
            if isinstance(held, contextlib.ExitStack):
                held.pop_all()
    try:
        from _pytest.junitxml import xml_key

        report = getattr(config, "stash", getattr(config, "_store", {})).get(xml_key, None)
    except ImportError:
        report = None
    if report is not None:
        report.logfile = os.devnull


def leave_cache(config):
    """Nothing of what failed is noted: each child would write down its own file's alone."""
    for name in "lfplugin", "nfplugin", "stepwiseplugin":
        plugin = config.pluginmanager.getplugin(name)
        if plugin is not None:
            config.pluginmanager.unregister(plugin)


def look(config, session):
    """Collects the folders; of a whole suite, the files as well, and imports them in the order of one run of pytest. What is
    in a file is found when it is asked for."""
    whole = SPEC.get("collect")
    if not whole and not hasattr(pytest, "Directory"):
        # Before pytest 8 there are no nodes for folders, and nothing is looked at beside the file.
        return
    genitems, scandir = session.genitems, _pytest.main.scandir if not whole else None

    def stop_at_files(node):
        if isinstance(node, pytest.File) and not isinstance(node, pytest.Package):
            State.files.setdefault(os.path.realpath(place(node)), []).append(node)
            try:
                getattr(node, "obj", None)
            except (Exception, SystemExit, pytest.skip.Exception, pytest.exit.Exception):
                # Whoever runs this file finds the same, and says so.
                pass
            return
        if not isinstance(node, pytest.Session):
            State.folders[place(node)] = node
        yield from genitems(node)

    def folders_alone(*args, **more):
        return [entry for entry in scandir(*args, **more) if entry.is_dir()]

    keep_going = config.option.continue_on_collection_errors
    config.option.continue_on_collection_errors = True
    session.genitems = stop_at_files
    if scandir:
        _pytest.main.scandir = _pytest.python.scandir = folders_alone
    try:
        config.hook.pytest_collection(session=session)
    except UsageError:
        # Of the arguments: each file says so.
        pass
    finally:
        config.option.continue_on_collection_errors = keep_going
        del session.genitems
        if scandir:
            _pytest.main.scandir = _pytest.python.scandir = scandir
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        terminal.stats.clear()


def place(node):
    """Its path; before pytest 7 it has another name."""
    return str(getattr(node, "path", None) or node.fspath)


def nodes(config, path):
    """What the template knows of this file, as collectors; nothing if pytest has to find it by itself."""
    found = State.files.get(os.path.realpath(path))
    at = pathlib.Path(os.path.abspath(path))
    folder = State.folders.get(str(at.parent))
    # Whatever a folder would pass over is only taken when it is asked for by name.
    if found is None and folder is not None and at.suffix == ".py":
        if any(fnmatch_ex(pattern, at) for pattern in config.getini("python_files")):
            found = folder.ihook.pytest_collect_file(file_path=at, parent=folder)
    return found


def run(config, session, work):
    """One file, as pytest's own main does it; answers with the exit code, and raises what that raises."""
    session.shouldstop = session.shouldfail = False
    session.testsfailed = session.testscollected = 0
    path, part = work["file"], work.get("part")
    if part is not None:
        part["groups"] = frozenset(part["groups"])
    State.part, State.told = None if work.get("again") else part, None
    found = nodes(config, path)
    if found:
        for report in State.reports:
            if is_about(report.nodeid, os.path.realpath(path), config):
                config.hook.pytest_collectreport(report=report)
        session._collection_cache = {}
        session.items = [item for node in found for item in session.genitems(node)]
        config.hook.pytest_collection_modifyitems(session=session, config=config, items=session.items)
        config.hook.pytest_collection_finish(session=session)
        session.testscollected = len(session.items)
    else:
        config.args = [path]
        config.option.file_or_dir = [path]
        if hasattr(config, "args_source"):
            config.args_source = type(config).ArgsSource.ARGS
        config.hook.pytest_collection(session=session)
    wanted = work.get("cases")
    if wanted is not None:
        session.items = [item for item in session.items if name(item.nodeid) in set(wanted)]
    if work.get("again"):
        # It counts only if all pass.
        config.option.maxfail = 1
    if part is not None:
        own = [item for item in session.items if is_of(part, item.nodeid)]
        if work.get("again"):
            State.told = {item.nodeid for item in own}
        else:
            session.items = own
    groups = State.groups = Groups() if work.get("groups") else None
    try:
        config.hook.pytest_runtestloop(session=session)
    finally:
        State.worker.flush()
    if groups is not None and groups.are_apart:
        State.worker.groups(groups.told())
    if session.testsfailed:
        return ExitCode.TESTS_FAILED
    if session.testscollected == 0:
        return ExitCode.NO_TESTS_COLLECTED
    return ExitCode.OK


def is_of(part, nodeid):
    return (not part["groups"].isdisjoint(groups_of(nodeid))) != part["rest"]


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector, name, obj):
    """What another part of the file runs is not even made: it may have many parameters."""
    part = State.part
    if part is None:
        return None
    nodeid = collector.nodeid + "::" + name
    if inspect.isfunction(obj):
        return None if is_of(part, nodeid) else []
    if inspect.isclass(obj):
        outer, path = groups_of(nodeid)
        within = not part["rest"] and any(group.startswith(path + "::") for group in part["groups"])
        return None if within or (outer in part["groups"]) != part["rest"] else []
    return None


class Groups:
    """Learns what a file can be split into: test functions and methods, unless something is set up once for several."""

    def __init__(self):
        self.took = {}
        self.classes = set()
        self.are_apart = True
        self.began = 0.0

    def set_up(self, scope, nodeid):
        if scope in ("module", "package"):
            self.are_apart = False
        elif scope == "class":
            self.classes.add(groups_of(nodeid)[0])

    # From end to end: of many short cases, what is around each takes longer than the case.
    def start(self):
        self.began = perf_counter()

    def finish(self, nodeid):
        own = groups_of(nodeid)[1]
        self.took[own] = self.took.get(own, 0.0) + perf_counter() - self.began

    def told(self):
        groups = {}
        for name, took in self.took.items():
            outer = name.split("::")[0]
            name = outer if outer in self.classes else name
            groups[name] = groups.get(name, 0.0) + took
        return groups


def guarded(config, session, work):
    """Runs one file of many: the exit code, and whether this process can go on."""
    try:
        return run(config, session, work), True
    except UsageError as error:
        for text in error.args:
            sys.stderr.write("ERROR: %s\n" % text)
        return ExitCode.USAGE_ERROR, True
    except session.Failed:
        return ExitCode.TESTS_FAILED, True
    except session.Interrupted as error:
        sys.stderr.write("!!! %s\n" % error)
        return ExitCode.INTERRUPTED, True
    except (KeyboardInterrupt, pytest.exit.Exception) as error:
        sys.stderr.write("!!! %r\n" % error)
        code = getattr(error, "returncode", None)
        return ExitCode.INTERRUPTED if code is None else code, False
    except BaseException:
        config.notify_exception(pytest.ExceptionInfo.from_current(), config.option)
        return ExitCode.INTERNAL_ERROR, False


def is_about(nodeid, path, config):
    """True if what could not be collected is that file, a part of it, or a folder around it."""
    place = os.path.realpath(os.path.join(str(config.rootdir), nodeid.split("::")[0]))
    return path == place or path.startswith(place + os.sep)


class After:
    """Stands for the next file's first test: what belongs to the whole session is kept."""

    def __init__(self, session):
        self.session = session

    def listchain(self):
        return [self.session]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    if not SPEC.get("keep") or session.config.option.collectonly:
        return None
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        raise session.Interrupted("%d error%s during collection" % (session.testsfailed, "s"[: session.testsfailed > 1]))
    following = session.items[1:] + [After(session)]
    for item, after in zip(session.items, following):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    if State.groups is not None:
        State.groups.set_up(fixturedef.scope, request.node.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart(nodeid):
    if State.groups is not None:
        State.groups.start()
    if State.worker is not None and is_told(nodeid):
        State.worker.begin(name(nodeid))


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish(nodeid):
    if State.groups is not None:
        State.groups.finish(nodeid)


def pytest_runtest_logreport(report):
    if State.worker is None or not is_told(report.nodeid):
        return
    case = State.cases.setdefault(report.nodeid, {"outcome": "passed", "duration": 0.0, "message": None})
    case["duration"] += report.duration
    outcome = word(report)
    path, line, _ = report.location
    about = {"file": path, "line": None if line is None else line + 1}
    if report.when != "teardown":
        if RANK.get(outcome, -1) >= RANK[case["outcome"]]:
            case.update(outcome=outcome, message=message(report))
        return
    del State.cases[report.nodeid]
    State.worker.case(name(report.nodeid), **case, **about)
    if report.failed:
        State.worker.case(name(report.nodeid) + " (teardown)", "errored", None, message(report), **about)


def is_told(nodeid):
    return State.told is None or nodeid in State.told


def pytest_collectreport(report):
    if report.passed:
        return
    if State.worker is None:
        State.reports.append(report)
        return
    outcome = "errored" if report.failed else "skipped"
    State.worker.case(name(report.nodeid), outcome, None, message(report), report.nodeid.split("::")[0])


def name(nodeid):
    """What the case is called within its file; a file is called as a module, as in pytest's own JUnit report."""
    path, _, inner = nodeid.partition("::")
    return inner or (path[:-3] if path.endswith(".py") else path).replace("/", ".")


def groups_of(nodeid):
    """What of its file a case may have to be run together with: its outermost class, and its function with all parameters."""
    function = nodeid.partition("::")[2].split("[")[0]
    return function.split("::")[0], function


def word(report):
    """The outcome that this phase of a case makes, if it makes one."""
    was_expected = hasattr(report, "wasxfail")
    if report.skipped:
        return "xfailed" if was_expected else "skipped"
    if report.failed:
        return "failed" if report.when == "call" else "errored"
    if report.passed and report.when == "call":
        return "xpassed" if was_expected else "passed"
    return None


def message(report):
    if report.skipped and isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        return "%s:%s: %s" % (path, line, reason[9:] if reason.startswith("Skipped: ") else reason)
    if not report.failed:
        reason = getattr(report, "wasxfail", "")
        return reason[8:] if reason.startswith("reason: ") else reason
    parts = [report.longreprtext]
    for title, content in report.sections:
        if content.strip():
            parts.append("%s\n%s" % (title.center(80, "-"), content.rstrip("\n")))
    return "\n".join(parts)
