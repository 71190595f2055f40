import sys


def test_needs_another_file():
    assert "tests_order_marker" in sys.modules
