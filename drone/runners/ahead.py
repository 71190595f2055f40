"""Imports once what test files import first thing, so that no forked child has to.

Owns which imports these are: those at the head of a file, before anything else is done there. What a file imports later
(after it has set a variable, a path, a patch) must find the interpreter as the file has made it. It knows no test
framework. The drone writes it beside its users as `skep_ahead.py`.
"""

import ast
import contextlib
import os
import re
import sys

# The most files that are looked at.
FILE_LIMIT = 2000
# Folders that hold no tests of the suite's own.
FOREIGN = re.compile(r"^(\..*|.*venv.*|site-packages|node_modules|__pycache__|build|dist)$")
# These rewrite the standard library, and want to be first.
PATCHES = re.compile(rb"\b(gevent|eventlet)\b")
STANDARD = getattr(sys, "stdlib_module_names", frozenset(("os", "sys", "unittest", "re", "json", "time", "io", "tempfile")))


def files(folder, pattern):
    """Paths of the Python files below `folder` whose name the pattern matches, sorted."""
    found = []
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            if not FOREIGN.match(entry.name):
                found += files(entry.path, pattern)
        elif re.match(pattern, entry.name):
            found.append(os.path.relpath(entry.path))
    return sorted(found)[:FILE_LIMIT]


def load(paths, is_test):
    """Imports the heads of these files. False: this process cannot stand for a fresh one now, and has to begin again
    without. `is_test` says of a module's name that it is a test itself, and not to be imported ahead."""
    heads, late = {}, set()
    for path in paths:
        try:
            with open(path, "rb") as file:
                text = file.read()
            if PATCHES.search(text):
                return False
            tree = ast.parse(text, path)
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        package = path.split(os.sep)[:-1]
        head, after = split(tree.body)
        for name, wanted in named(head, package):
            heads.setdefault(name, set()).update(wanted)
        late.update(name.partition(".")[0] for name, _ in named(after, package))
    before = set(sys.modules)
    for name, wanted in heads.items():
        if is_test(name):
            continue
        try:
            __import__(name, {}, {}, sorted(wanted) or ["__name__"], 0)
        except (Exception, SystemExit):
            # The files that need it will say so.
            pass
    loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    return not (late - STANDARD) & loaded and is_single()


def split(body):
    """The imports that come first, and those that come after something else was done."""
    head, after, is_head = [], [], True
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            (head if is_head else after).append(node)
        elif isinstance(node, (ast.Try, ast.If, ast.With)):
            inner = [part for part in ast.walk(node) if isinstance(part, (ast.Import, ast.ImportFrom))]
            if not is_head:
                after += inner
            elif not is_choice(node):
                is_head = False
                after += inner
        elif not is_still(node):
            is_head = False
    return head, after


def is_still(node):
    """True if it changes nothing outside of its module: a definition, a text, a plain value."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return not node.decorator_list
    value = getattr(node, "value", None)
    return isinstance(node, (ast.Expr, ast.Assign, ast.AnnAssign)) and not any(
        isinstance(part, (ast.Call, ast.Subscript, ast.Attribute)) for part in ast.walk(node)
    ) and value is not None


def is_choice(node):
    """`try: import a`, `if TYPE_CHECKING: import a`: nothing but imports and plain values. Left to the file."""
    if isinstance(node, ast.With):
        return False
    parts = node.body + node.orelse
    if isinstance(node, ast.Try):
        parts += node.finalbody + [part for handler in node.handlers for part in handler.body]
    return all(isinstance(part, (ast.Import, ast.ImportFrom, ast.Pass)) or is_still(part) for part in parts)


def named(nodes, package):
    """Names of modules, and what is wanted from each."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif node.module != "__future__":
            base = package[: len(package) + 1 - node.level] if node.level else []
            name = ".".join(base + ([node.module] if node.module else []))
            if name and node.level <= len(package):
                yield name, [alias.name for alias in node.names if alias.name != "*"]


def is_single():
    """A fork takes one thread along: the others' locks would never be opened."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return True


@contextlib.contextmanager
def quiet():
    """What is loaded ahead says nothing: it says it again when its own file is run."""
    kept = [os.dup(stream) for stream in (1, 2)]
    null = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        for stream in (1, 2):
            os.dup2(null, stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, copy in zip((1, 2), kept):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(null)
