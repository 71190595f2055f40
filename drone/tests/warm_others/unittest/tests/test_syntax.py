import unittest


class C(unittest.TestCase):
    def test_x(self):
        (
