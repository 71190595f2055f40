import time


def test_before():
    pass


def test_hang():
    time.sleep(3600)
