import nothing_like_it


def test_a():
    nothing_like_it.f()
