import pytest
@pytest.fixture(scope="package")
def pkg(): yield "deep"
@pytest.fixture(scope="module")
def mod(): yield "deep"
