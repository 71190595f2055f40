"""Finds again what Python has made of a source file in another job: a new copy of the source has no `__pycache__`.

Owns the folder of it, one file each, named by what it was made of: the source, the interpreter, and whoever made it. It
knows no test framework. The drone writes it as `skep_bytecode.py` and keeps the folder within a limit
(`drone/src/runner/warm/bytecode.rs`).
"""

import _imp
import hashlib
import importlib.machinery
import marshal
import os
import sys
import threading
import warnings

FOLDER = None
# Says to a code object, and to all in it, which file it is of.
PLACE = getattr(_imp, "_fix_co_filename", None)


def install(folder):
    """From now on, what is imported from source is looked up in `folder` first."""
    global FOLDER
    FOLDER = folder
    loader = importlib.machinery.SourceFileLoader
    make = getattr(loader, "source_to_code", None)
    if not (make and PLACE):
        return

    def source_to_code(self, data, path, *more, **options):
        # Whoever has a loader of its own, or hands over something else than source, makes something else of it.
        if more or options or type(self) is not loader or not isinstance(data, bytes):
            return make(self, data, path, *more, **options)
        return find("import", data, path) or keep("import", data, lambda: make(self, data, path))

    loader.source_to_code = source_to_code


def find(maker, source, path):
    """The code that `maker` has made of the bytes of `source`, now as of the file at `path`; nothing if there is none."""
    place = _place(maker, source)
    try:
        with open(place, "rb") as file:
            digest, data = file.read(32), file.read()
        # A machine that lost its power may have left anything.
        if hashlib.sha256(data).digest() != digest:
            return None
        os.utime(place)
    except OSError:
        return None
    code = marshal.loads(data)
    PLACE(code, str(path))
    return code


def keep(maker, source, make):
    """What `make` answers: the code that `maker` makes of the bytes of `source`."""
    if threading.current_thread() is not threading.main_thread():
        # To listen for warnings changes what is all threads'.
        return make()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            code = make()
    except Exception:
        said = True
    if said:
        # It is to be said each time, and whoever wants may take it as an error.
        return make()
    place = _place(maker, source)
    own = "%s.%d" % (place, os.getpid())
    try:
        data = marshal.dumps(code)
        with open(own, "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(own, place)
    except OSError:
        # It is made again next time.
        pass
    return code


def _place(maker, source):
    seed = repr((sys.version, sys.flags.optimize, maker)).encode()
    return os.path.join(FOLDER, hashlib.sha256(seed + b"\0" + source).hexdigest())
