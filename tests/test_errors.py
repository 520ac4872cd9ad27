import pytest

from lidistill.errors import MissingPackageError, require, suggestion, unknown_name


def test_the_nearest_known_name_is_suggested():
    assert "did you mean 'pandaset'" in str(unknown_name("data set", "pandset", ["pandaset", "x"]))


def test_all_names_are_listed_where_none_is_near():
    assert suggestion("qqq", ["b", "a"]) == "known: a, b."
    assert suggestion("qqq", []) == "known: none."


def test_a_missing_package_names_the_extra_that_brings_it():
    with pytest.raises(MissingPackageError, match=r"no_such_package.*lidistill\[sim\]"):
        require("no_such_package", extra="sim")
    assert require("json", extra="sim").dumps([1]) == "[1]"
