import unittest


class Made(unittest.TestCase):
    def runTest(self):
        pass


def load_tests(loader, tests, pattern):
    return unittest.TestSuite([Made()])
