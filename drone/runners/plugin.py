"""The plugin that pytest is told of: it makes `pytest.py` load from what was kept of it, and hands its hooks on.

pytest would compile a plugin that it is told of anew in each job, and rewrite its assertions: PYTEST_DONT_REWRITE. The
drone writes it as `skep_plugin.py`.
"""

import json
import os

import skep_bytecode

skep_bytecode.install(json.loads(os.environ["SKEP_WARM"])["bytecode"])

from skep_pytest import *  # noqa: E402, F403
