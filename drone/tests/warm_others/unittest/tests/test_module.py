import unittest


def setUpModule():
    raise RuntimeError("module broke")


class C(unittest.TestCase):
    def test_never(self):
        pass
