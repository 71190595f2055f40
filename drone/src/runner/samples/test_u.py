import unittest, sys
class T(unittest.TestCase):
    def test_ok(self): pass
    def test_doc(self):
        """A line of words."""
    def test_fail(self): self.assertEqual(1, 2)
    def test_err(self): raise ValueError("x")
    @unittest.skip("why so")
    def test_skip(self): pass
    @unittest.expectedFailure
    def test_xf(self): self.fail()
    @unittest.expectedFailure
    def test_us(self): pass
    def test_noise(self): print("noise", file=sys.stderr)
    def test_sub(self):
        for i in range(2):
            with self.subTest(i=i): self.assertEqual(i, 0)
