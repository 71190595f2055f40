import pytest
def pytest_addoption(parser): parser.addini("made", "made", default="no")
def pytest_collection_modifyitems(items):
    for i in items:
        if "plugged" in i.name: i.add_marker(pytest.mark.skip(reason="plugged"))
@pytest.fixture
def plugged(): return 3
