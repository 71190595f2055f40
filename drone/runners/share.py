"""Which files of pytest may share a child: short ones, as long as nobody could tell that from a child for each.

Owns what is looked at between two files, and how pytest's last words are said for each of them. Must not know the drone or
which file comes next. The drone writes it as `skep_share.py`; read `serve_some` of `pytest.py` for its use.
"""

import os
import signal
import sys
import threading
from copy import copy

# Seconds after which a child runs no further file: what a child costs counts little then.
LONG = 0.2
# Set anew for each file.
OWN = "PYTEST_CURRENT_TEST", "SKEP_FILE", "SKEP_WORKER_ID"
SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD


def module_of(path):
    """Two files that have this in common cannot be imported into one process."""
    folder, name = os.path.split(path)
    return path if os.path.exists(os.path.join(folder, "__init__.py")) else name


def ends_alone(config):
    """True if nobody but pytest has something to do at the end of a session, which may make its result another one."""
    hooks = config.hook.pytest_sessionfinish.get_hookimpls()
    return all(getattr(hook.function, "__module__", "").startswith("_pytest.") for hook in hooks)


def traces():
    """What of this process a file may have changed for the next one, as far as that is easily seen."""
    env = {name: value for name, value in os.environ.items() if name not in OWN}
    try:
        folder = os.getcwd()
    except OSError:
        # It was removed.
        folder = None
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        has_children = True
    except ChildProcessError:
        has_children = False
    handlers = [signal.getsignal(number) for number in SIGNALS]
    return env, folder, has_children, threading.active_count(), handlers, sys.stdout, sys.stderr


class Terminal:
    """Lets pytest's terminal reporter end a session for each file."""

    def __init__(self, config):
        self.reporter = config.pluginmanager.getplugin("terminalreporter")
        self.first = None if self.reporter is None else self._state()

    def finish(self, session, code):
        """Says what pytest says at the end of a session; answers with the exit code, which that may change."""
        session.exitstatus = code
        if self.reporter is not None:
            wrapper = self.reporter.pytest_sessionfinish(session=session, exitstatus=code)
            next(wrapper)
            try:
                wrapper.send(Came())
            except StopIteration:
                pass
            vars(self.reporter).update(self.first)
            self.first = self._state()
        return session.exitstatus

    def _state(self):
        kept = dict, list, set
        return {name: copy(value) if isinstance(value, kept) else value for name, value in vars(self.reporter).items()}


class Came:
    """What the hooks that a wrapper stands around have come to, in pluggy's older words: nothing."""

    def get_result(self):
        return None
