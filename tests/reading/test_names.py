import pytest

from lidistill.reading.names import in_order, listed, path_part, relative_path, shown


@pytest.mark.parametrize("name", ["000123", "Straße 7", "a.b-c_d", "..x", "ü"])
def test_ordinary_names_become_paths(name):
    assert path_part(name, "token") == name


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "", "a/b", "a\\b", "a\x00b", "a\nb", "\x1b[2J", "x" * 201, 7, None]
)
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(ValueError, match="cannot be part of a path") as error:
        path_part(name, "token")
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("name", "path"), [("a/b.bin", "a/b.bin"), ("./a//b", "a/b"), ("a", "a"), ("ü/..x", "ü/..x")]
)
def test_names_below_a_folder_become_paths(name, path):
    assert relative_path(name, "file name") == path


@pytest.mark.parametrize(
    "name",
    ["/a", "a/../b", "..", "./..", "", ".", "./", "a\b", "a/\0", "a/" * 300, None, 7],
)
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(ValueError, match="cannot be") as error:
        relative_path(name, "file name")
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "value",
    [
        "x" * 2**20,
        b"\x00" * 2**20,
        pytest.param(10**5000, id="int"),
        ["x" * 2**20],
        {"a": 1},
        "\x1b]0;t\x07",
        "é",
    ],
)
def test_what_is_shown_is_short_and_printable(value):
    text = shown(value)
    assert len(text) < 80
    assert text.isprintable()


def test_lists_of_names_are_short_and_printable():
    assert listed([]) == "none"
    assert listed(["x", "Straße"]) == "x, Straße"
    text = listed(f"\x1b[31m{i}" + "a" * 10**6 for i in range(10**6))
    assert text.isprintable()
    assert len(text) < 1000
    assert text.endswith(", …")


@pytest.mark.parametrize(
    "names",
    [
        [str(number) for number in range(25)],
        ["000009", "000010", "000100"],
        ["scan2_1", "scan2_10", "scan10_1"],
        ["100.00", "100.10", "100.105", "100.2", "1000.1"],
        ["1700000000.9", "1700000001.0"],
        ["01", "1", "2"],
        ["Fahrt 2", "Fahrt 10", "Straße"],
    ],
)
def test_names_are_counted_as_people_do(names):
    assert in_order(reversed(names)) == names
