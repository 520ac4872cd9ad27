import gzip

import pytest
from faults.limits import bounded

from lidistill.reading.gzipped import gunzip

TEXT = bytes(range(256)) * 1000


@pytest.mark.parametrize("padding", [b"", bytes(700)])
@pytest.mark.parametrize("num_members", [1, 3, 1000])
def test_members_follow_one_another_with_padding_between(num_members, padding):
    size = -(-len(TEXT) // num_members)
    parts = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    packed = padding.join(gzip.compress(part) for part in parts) + padding
    assert gunzip(packed, max_bytes=len(TEXT)) == TEXT
    with pytest.raises(ValueError, match=f"more than {len(TEXT) - 1} bytes"):
        gunzip(packed, max_bytes=len(TEXT) - 1)


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(gzip.compress(TEXT)[:-9], id="cut off"),
        pytest.param(gzip.compress(TEXT) + b"x", id="more behind it"),
        pytest.param(b"", id="nothing"),
        pytest.param(TEXT, id="another file"),
    ],
)
def test_what_is_cut_off_or_no_gzip_is_an_error(packed):
    with pytest.raises(ValueError, match="not a gzip file"):
        gunzip(packed, max_bytes=1 << 20)


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        pytest.param(gzip.compress(b"") * 1_000_000, "more than 4096 gzip members", id="empty"),
        pytest.param(gzip.compress(bytes(1 << 28), 9), "more than 1048576 bytes", id="bomb"),
        pytest.param(gzip.compress(TEXT) + bytes(1 << 24) + b"x", "not a gzip", id="padding"),
    ],
)
def test_hostile_files_cost_what_their_bytes_do(packed, said):
    with bounded(mebibytes=40), pytest.raises(ValueError, match=said):
        gunzip(packed, max_bytes=1 << 20)
