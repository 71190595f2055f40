import ctypes
def test_first(): pass
def test_segv(): ctypes.string_at(0)
