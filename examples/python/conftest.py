"""Its place makes this folder the one that tests import from."""
