import io
import os

import pytest
import torch

from lidistill.errors import MissingPackageError, first_line, require, suggestion, unknown_name


def test_the_nearest_known_name_is_suggested():
    assert "did you mean 'pandaset'" in str(unknown_name("data set", "pandset", ["pandaset", "x"]))


def test_all_names_are_listed_where_none_is_near():
    assert suggestion("qqq", ["b", "a"]) == "known: a, b."
    assert suggestion("qqq", []) == "known: none."


def test_a_missing_package_names_the_extra_that_brings_it():
    with pytest.raises(MissingPackageError, match=r"no_such_package.*extra \[sim\]"):
        require("no_such_package", extra="sim")
    assert require("json", extra="sim").dumps([1]) == "[1]"


def test_nobody_is_told_to_run_the_code_in_a_file():
    buffer = io.BytesIO()
    torch.save({"weights": os.getcwd}, buffer)
    buffer.seek(0)
    with pytest.raises(Exception, match="trusted source") as error:
        torch.load(buffer, weights_only=True)
    assert first_line(error.value) == "it asks for posix.getcwd; refused, nothing was run"
