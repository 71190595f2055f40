import asyncio
import multiprocessing
import os
import unittest

from tests.helper import value

MODULE = []


def setUpModule():
    MODULE.append(1)


def double(x):
    return 2 * x


class Life(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = 1

    def setUp(self):
        self.list = [1]

    def tearDown(self):
        if self._testMethodName == "test_broken_teardown":
            raise RuntimeError("teardown broke")

    def test_holds(self):
        """With a docstring."""
        self.assertEqual((self.list, self.shared, MODULE, value()), ([1], 1, [1], 42))

    def test_fails(self):
        self.assertEqual(1, 2, "numbers")

    def test_raises(self):
        raise ValueError("bad äöü ☃")

    def test_broken_teardown(self):
        pass

    def test_fails_and_breaks(self):
        self.addCleanup(lambda: 1 / 0)
        self.fail("first")

    @unittest.skip("not today")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail()

    @unittest.expectedFailure
    def test_unexpected(self):
        pass

    def test_subtests(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertNotEqual(i % 2, 1)

    def test_good_subtests(self):
        for i in range(3):
            with self.subTest(i=i):
                pass

    def test_ünïcode(self):
        self.assertEqual(os.environ["SKEP_FILE"], "tests/test_life.py")

    def test_forks(self):
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        self.assertEqual(os.waitpid(pid, 0)[1], 3 << 8)

    def test_spawns(self):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            self.assertEqual(pool.map(double, [1, 2]), [2, 4])


class Async(unittest.IsolatedAsyncioTestCase):
    async def test_awaits(self):
        await asyncio.sleep(0)


class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("class broke")

    def test_never(self):
        pass
