import multiprocessing
import os
import time


def sleep():
    os.setsid()
    time.sleep(3600)


def test_leaves_a_process():
    context = multiprocessing.get_context("fork")
    child = context.Process(target=sleep, daemon=True)
    child.start()
    multiprocessing.process._children.discard(child)
    with open("left.pid", "w") as file:
        file.write(str(child.pid))
