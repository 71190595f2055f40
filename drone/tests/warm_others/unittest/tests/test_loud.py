import unittest


class C(unittest.TestCase):
    def test_loud(self):
        for _ in range(50_000):
            print("x" * 99)
