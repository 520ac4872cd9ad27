"""What holds for every test: nothing is kept in the home of whoever runs them.

Tables are pickled with plain text, as PandaSet's are, though pyarrow is there for Argoverse 2.
"""

import pandas as pd
import pytest

from lidistill.compiled import SWITCH

pd.set_option("mode.string_storage", "python")


@pytest.fixture(autouse=True, scope="session")
def cache_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=["1", "0"], ids=["compiled", "definition"])
def both_forms(request, monkeypatch):
    """Both forms of every operation, one after the other."""
    monkeypatch.setenv(SWITCH, request.param)
    return request.param
