import json
import subprocess

import pytest
import torch
from faults import trials
from faults.ranks import environment, torchrun, two_as_one
from faults.tasks import all_tasks

from lidistill.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    torch.set_num_threads(1)
    return trials.build_world(tmp_path_factory.mktemp("ranks"), steps=6)


def test_two_processes_train_and_score_as_one_does(world):
    assert two_as_one(world, all_tasks(world)).failures == []


def test_a_network_with_split_weights_is_scored_whole(world, tmp_path):
    finetune = all_tasks(world)["finetune"][:2]
    run = tmp_path / "split"
    network = "backbone={kind: waffleiron, width: 8, depth: 3}"
    start = ["features=random", "checkpoint=null", network]
    own = [*finetune, *start, f"output={run}", "train.steps=2"]
    done = subprocess.run(
        torchrun([*own, "train.sharding=full"], ranks=2),
        env=environment("scored"),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    status, text = trials.finish(trials.start(["evaluate", str(run)]))
    assert status == 0, text
    first, again = (
        json.loads((folder / "results.json").read_text()) for folder in (run, run / "evaluation")
    )
    assert first["confusion"] == again["confusion"]


def test_a_run_with_split_weights_goes_on_in_one_process(world, tmp_path):
    pretrain = all_tasks(world)["pretrain"]
    run = tmp_path / "split"
    first = [*pretrain, f"output={run}", "train.sharding=full", "train.checkpoint_every=5"]
    done = subprocess.run(
        torchrun(first, ranks=2), env=environment("split"), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    whole = load_checkpoint(run)
    last = run / "checkpoints" / "step-00000010"
    last.rename(tmp_path / "last")
    status, text = trials.finish(trials.start([*pretrain, f"output={run}"]))
    assert status == 0, text
    for name, weight in load_checkpoint(run).weights.items():
        torch.testing.assert_close(weight, whole.weights[name], atol=1e-6, rtol=0)
