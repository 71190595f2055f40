import pytest
def test_a(): pass
def test_b(): pytest.exit("enough", 9)
def test_c(): pass
