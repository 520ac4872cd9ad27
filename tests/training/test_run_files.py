import json
import logging

import pytest
import yaml

from lidistill.errors import CheckpointError, FileFormatError
from lidistill.training.run_files import check_there, keep_lines, read_log, write_recipe
from lidistill.training.tracking import JsonLinesTracker

WHOLE = '{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 2.0}\n'


def test_what_runs_is_written_and_an_own_recipe_replaced(tmp_path, caplog):
    write_recipe(tmp_path, {"a": 1}, None)
    write_recipe(tmp_path, {"a": 2}, {"a": 1})
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text()) == {"a": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]
    assert not caplog.text


def test_comments_stay_where_nothing_else_was_changed(tmp_path):
    (tmp_path / "recipe.yaml").write_text("# mine\na: 1\n")
    write_recipe(tmp_path, {"a": 1}, {"a": 1})
    assert (tmp_path / "recipe.yaml").read_text() == "# mine\na: 1\n"


@pytest.mark.parametrize("text", ["a: 3\n", "a: [\n", "!!python/object:x {}\n"])
@pytest.mark.parametrize("before", [None, {"a": 1}])
def test_an_edited_recipe_is_kept_beside_and_that_is_said(tmp_path, caplog, text, before):
    (tmp_path / "recipe.yaml.edited").write_text("an earlier one")
    (tmp_path / "recipe.yaml").write_text(text)
    write_recipe(tmp_path, {"a": 1}, before)
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text()) == {"a": 1}
    assert (tmp_path / "recipe.yaml.edited").read_text() == "an earlier one"
    assert (tmp_path / "recipe.yaml.edited-2").read_text() == text
    assert "kept as recipe.yaml.edited-2" in caplog.text


def test_a_run_folder_that_was_moved_away_is_named(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").touch()
    check_there(tmp_path / "run", tmp_path / "run" / "log.jsonl")
    (tmp_path / "run").rename(tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"log.jsonl is gone: was .* moved, renamed"):
        check_there(tmp_path / "run", tmp_path / "run" / "log.jsonl")


GARBAGE = [b"\0\xff\xfe\n", b"{}\n", b'{"step": "3"}\n', b"[" * 10**5 + b"\n", b"hello\n", b"NaN\n"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_log_of_garbage_does_not_block_a_run(tmp_path, caplog, garbage):
    path = tmp_path / "log.jsonl"
    first, second = WHOLE.encode().splitlines(keepends=True)
    path.write_bytes(first + garbage + second)
    tracker = JsonLinesTracker(path, resume_step=2)
    tracker.log(3, {"loss": 3.0})
    tracker.close()
    assert [record["step"] for record in read_log(path)] == [1, 2, 3]
    assert (tmp_path / "log.jsonl.broken").read_bytes() == first + garbage + second
    assert "line 2 and 0 more are no records of a run; the file is kept as" in caplog.text


def test_lines_after_the_checkpoint_are_dropped_and_no_file_is_kept_for_that(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(WHOLE)
    keep_lines(path, 1)
    assert read_log(path) == [{"step": 1, "loss": 1.0}]
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_log_without_a_last_line_break_loses_its_last_line_only(tmp_path, caplog):
    path = tmp_path / "log.jsonl"
    path.write_text(WHOLE + json.dumps({"step": 3})[:-2])
    with caplog.at_level(logging.WARNING):
        assert len(read_log(path)) == 2
    assert "cut off" in caplog.text


def test_a_log_that_is_no_file_is_named(tmp_path):
    (tmp_path / "log.jsonl").symlink_to("/dev/zero")
    with pytest.raises(FileFormatError, match="a pipe or a device"):
        keep_lines(tmp_path / "log.jsonl", 1)
