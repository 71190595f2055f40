import pytest
@pytest.fixture(scope="module")
def mod(): yield "tests"
