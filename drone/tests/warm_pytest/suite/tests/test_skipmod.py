import pytest; pytest.skip("not here", allow_module_level=True)
