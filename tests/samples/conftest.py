"""A scan with images of known colours."""

from functools import partial

import pytest
from fakes.scan import scan_frame


@pytest.fixture
def make_frame(tmp_path):
    return partial(scan_frame, tmp_path)


@pytest.fixture
def frame(make_frame):
    return make_frame()
