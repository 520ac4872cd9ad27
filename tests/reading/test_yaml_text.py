import re
import time

import pytest

from lidistill.reading.yaml_text import parse_yaml

_BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lr: 1e-3", {"lr": 1e-3}),
        ("day: 2026-11-22", {"day": "2026-11-22"}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("1: car\n2: ignore", {1: "car", 2: "ignore"}),
        ("\ufeffa: 1", {"a": 1}),
        ("", None),
        ("[.inf, -3, yes, null, 'x y']", [float("inf"), -3, True, None, "x y"]),
    ],
)
def test_plain_yaml_is_read(text, value):
    assert parse_yaml(text) == value
    assert parse_yaml(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("!!bool foo", "'foo' is no bool"),
        ('!!int ""', "'' is no int"),
        ("!!map [1]", "tag"),
        ("!!timestamp 2026-01-01", "'timestamp'"),
        ("!!python/object:os.system x", "is not used"),
        ("a: &a [*a]", "refers to what it is a part of"),
        ("&a {b: *a}", "refers to what it is a part of"),
        ("a: " + "9" * 5000, "a number of 5000 digits"),
        ("? [1, 2]\n: 3", "a key is a list or a mapping"),
        ("a: 1\na: 2", "'a' stands there twice"),
        ("a: {<<: {b: 1}}", "is not used"),
        ("[" * 200 + "]" * 200, "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ("a: [1", "line 1"),
        ("a: \x07", "not allowed"),
        ('a: "b\\0c"', "holds a zero byte"),
        (b"\xff\xfe\xff", "it is UTF-16, expected UTF-8"),
        (b"a: \xe4", "no UTF-8 text (line 1)"),
        ("x" * 2**20 + "x", "at most"),
        (_BOMB, "stands for more than"),
        (_BOMB.partition("a11")[0] + "? *a10\n: 1", "a key is a list or a mapping"),
        ("%TAG ! tag:x\n--- !y z", "tag"),
        ("a: 1\n--- \nb: 2", "expected a single document"),
    ],
)
def test_other_yaml_ends_in_one_short_line_at_once(text, reason):
    start = time.process_time()
    with pytest.raises(ValueError, match=re.escape(reason)) as error:
        parse_yaml(text)
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()
    assert time.process_time() - start < 5


def test_values_of_an_alias_are_not_shared():
    value = parse_yaml("a: &x {k: 1}\nb: *x")
    value["a"]["k"] = 2
    assert value["b"] == {"k": 1}
