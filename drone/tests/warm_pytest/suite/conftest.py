import pytest, os, sys
sys.path.insert(0, os.path.dirname(__file__))
pytest_plugins = ["made_plugin"]
@pytest.fixture(scope="session")
def session_thing(tmp_path_factory):
    p = tmp_path_factory.mktemp("session")
    yield p
@pytest.fixture(autouse=True)
def auto(monkeypatch): monkeypatch.setenv("AUTO", "1"); yield
