import os
def test_first(): pass
def test_kill(): os._exit(0)
def test_never(): pass
