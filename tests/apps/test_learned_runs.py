from types import SimpleNamespace

from lidistill.apps.learned_runs import _found_roots
from lidistill.reading.yaml_text import parse_yaml


def test_a_folder_of_another_run_is_found_whatever_its_name(tmp_path):
    root = tmp_path / 'it\'s "the" \\ data: 1'
    root.mkdir()
    there, absent = (
        SimpleNamespace(evaluation=SimpleNamespace(sets=[SimpleNamespace(kind="own", root=one)]))
        for one in (root, tmp_path / "absent")
    )
    (override,) = _found_roots(absent, [there, absent], "runs/a")
    key, _, text = override.partition("=")
    assert key == "evaluation.sets.0.root"
    assert parse_yaml(text) == str(root)
