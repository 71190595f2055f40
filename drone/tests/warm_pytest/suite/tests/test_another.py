import sys
import types

sys.modules["tests_order_marker"] = types.ModuleType("tests_order_marker")


def test_a():
    pass
