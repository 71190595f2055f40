def test_a(nofix): pass
