import sys
import unittest


class C(unittest.TestCase):
    def test_a(self):
        pass

    def test_b(self):
        sys.exit(9)
