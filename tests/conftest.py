"""What holds for every test: nothing is kept in the home of whoever runs them."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def cache_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
