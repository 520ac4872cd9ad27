import pytest

from lidistill.reading.text import decode_text, numbered_lines, two_columns

ROWS = [(2, "a", "1.5"), (3, "b c", "2.5")]


@pytest.mark.parametrize(
    "content",
    [
        b"name,seconds\na,1.5\nb c,2.5\n",
        b"\xef\xbb\xbfname,seconds\r\na,1.5\r\nb c,2.5",
        b"name;seconds\na;1.5\nb c;2.5\n",
        b"Name\tSeconds\ra\t1.5\rb c\t2.5\r",
        b'"name","seconds"\n"a","1.5"\n"b c", "2.5"\n\n',
    ],
    ids=["plain", "mark", "semicolons", "tabs", "quotes"],
)
def test_tables_of_all_spreadsheets_are_read(content):
    assert two_columns(content, ("name", "seconds")) == ROWS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "first line is not 'name,seconds' but ''"),
        (b"name|seconds\na|1\n", "but fields between bars"),
        (b"a,1.5\n", "but 'a,1.5'"),
        (b"name,seconds\na,1.5,2\n", "line 2 has 3 values, expected name,seconds"),
        (b'name,seconds\na,"1\n2"\n', "line 3 has 1 values"),
        (b"name,seconds\na," + b"9" * 2000, "line 2 has a value that is too long"),
        (b"name,seconds\n" + b"\n" * 500_000, "has more than 500000 lines"),
    ],
)
def test_other_tables_end_in_one_short_line(content, said):
    with pytest.raises(ValueError, match=said) as error:
        two_columns(content, ("name", "seconds"))
    assert len(str(error.value)) < 150


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(encoding):
    with pytest.raises(ValueError, match=r"it is UTF-.*, expected UTF-8; save it as UTF-8"):
        decode_text("name,seconds".encode(encoding))


def test_latin_1_is_told_with_its_line():
    with pytest.raises(ValueError, match=r"no UTF-8 text \(line 2\); save it as UTF-8"):
        decode_text("a\nStraße".encode("latin-1"))


def test_lines_keep_their_numbers():
    assert list(numbered_lines(b"# made by hand\n\n a b # c\nd\n")) == [(3, "a b"), (4, "d")]
    assert list(numbered_lines(b"a #1\n", comment=None)) == [(1, "a #1")]
    assert list(numbered_lines(b"a\rb\r")) == [(1, "a"), (2, "b")]
    with pytest.raises(ValueError, match=r"no UTF-8 text \(line 2\)"):
        list(numbered_lines(b"a\n\xe4"))
    with pytest.raises(ValueError, match="has 20001 bytes in line 2"):
        list(numbered_lines(b"a\n" + b"x" * 20_000 + b"\n"))
