"""Runs a part of a file only: a plugin of pytest, where each file has a command of its own.

`SKEP_PART` says which: `groups` of cases, or, with `rest`, all but these. A group is a class with all that is in it, or a
function or method with all its parameters, as `pytest.py` has them too. The drone writes it as `skep_part.py`.
"""

import json
import os
import sys

import pytest

PART = json.loads(os.environ.pop("SKEP_PART"))
# What the tests start is not to find this.
OWN = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if path != OWN]
PATHS = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != OWN]
if PATHS:
    os.environ["PYTHONPATH"] = os.pathsep.join(PATHS)
else:
    os.environ.pop("PYTHONPATH", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    named = set(PART["groups"])
    items[:] = [item for item in items if (not named.isdisjoint(groups_of(item.nodeid))) != PART["rest"]]


def groups_of(nodeid):
    function = nodeid.partition("::")[2].split("[")[0]
    return function.split("::")[0], function
