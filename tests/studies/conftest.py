import pytest
import yaml
from fakes.runs import probe_values, write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A drive, a teacher, and recipes of a few steps."""
    folder = tmp_path_factory.mktemp("world")
    files = write_world(folder)
    values = probe_values(folder)
    files["probe"].write_text(yaml.safe_dump(values | {"train": {"steps": 10, "batch_size": 2}}))
    return folder


@pytest.fixture
def values(world, tmp_path):
    """A study of two widths on one drive, two probes each, as it stands in a file."""
    recipe = {name: str(world / f"{name}.yaml") for name in ("pretrain", "probe", "finetune")}
    return {
        "kind": "study",
        "name": "tiny",
        "output": str(tmp_path / "study"),
        "seeds": [0, 1],
        "benchmarks": {
            "street": {
                "pretrain": recipe["pretrain"],
                "probes": {
                    "all": {"probe": recipe["probe"], "scratch": recipe["finetune"]},
                    "late": {
                        "probe": recipe["probe"],
                        "changes": {"probe.evaluation.sets.0.frames": "2-3"},
                    },
                },
            }
        },
        "axes": {
            "student": {"WaffleIron": {"8": {}, "16": {"pretrain.backbone.width": 16}}},
        },
    }


@pytest.fixture
def write(tmp_path):
    """Writes a study into a file."""

    def written(values):
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(values, sort_keys=False))
        return str(file)

    return written
