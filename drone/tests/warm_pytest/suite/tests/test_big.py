def test_big():
    for i in range(50): print("x"*1024*1024)
def test_after(): pass
