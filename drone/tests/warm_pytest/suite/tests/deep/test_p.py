def test_p(pkg, mod): assert (pkg, mod) == ("deep","deep")
def test_q(session_thing): assert session_thing.exists()
