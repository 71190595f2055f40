import os


def test_template_dies():
    # A child that was forked ahead of this one has lost its template already.
    with open("/proc/%d/cmdline" % os.getppid()) as parent:
        is_template = "skep_plugin" in parent.read()
    if is_template:
        os.kill(os.getppid(), 9)


def test_goes_on():
    pass
