import logging
import os
import sys
import unittest

import pytest


@pytest.mark.parametrize("x", ["ü", "日本", "a::b", "d[e]", "", "\x1b<&\n", "a/b.py"])
def test_param(x):
    assert x != "ü"


def test_fixtures(session_thing, mod, pytestconfig):
    assert os.environ["AUTO"] == "1"
    assert mod == "tests"
    assert pytestconfig.getini("made") == "yes"


def test_environment():
    assert not [name for name in os.environ if name == "SKEP_WARM"]
    assert not [path for path in sys.path if path.endswith("/warm")]
    assert "/warm" not in os.environ.get("PYTHONPATH", "")


class TestUnit(unittest.TestCase):
    def test_u(self):
        self.assertEqual(1, 1)

    def test_sub(self):
        for i in range(2):
            with self.subTest(i=i):
                self.assertEqual(i, 0)

    @unittest.skip("no")
    def test_s(self):
        pass

    @unittest.expectedFailure
    def test_x(self):
        assert 0


class TestOuter:
    class TestInner:
        def test_deep(self):
            assert 0, "deep"


def test_plugged(plugged):
    pass


@pytest.mark.skip(reason="because")
def test_skip():
    pass


@pytest.mark.xfail(reason="known")
def test_xfail():
    assert 0


@pytest.mark.xfail
def test_xpass():
    pass


@pytest.mark.xfail(strict=True)
def test_strict():
    pass


@pytest.fixture
def broken():
    raise RuntimeError("setup broke")


def test_setup(broken):
    pass


@pytest.fixture
def tear():
    yield
    raise RuntimeError("teardown broke")


def test_tear(tear):
    pass


def test_both(tear):
    assert 0


def test_exit():
    sys.exit(3)


def test_captured(capfd):
    print("to out")
    os.write(2, b"to err\n")
    assert capfd.readouterr() == ("to out\n", "to err\n")


def test_shown():
    print("PRINTED")
    print("ERRED", file=sys.stderr)
    logging.error("LOGGED")
    assert 0


def test_tmp(tmp_path):
    assert tmp_path.is_dir()


def test_fork():
    pid = os.fork()
    if pid == 0:
        raise SystemExit(0)
    assert os.waitpid(pid, 0)[0] == pid
