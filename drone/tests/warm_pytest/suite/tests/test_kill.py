import os
def test_first(): pass
def test_kill(): os.kill(os.getpid(), 9)
def test_never(): pass
