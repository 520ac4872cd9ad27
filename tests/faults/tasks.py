"""Every kind of training on the tiny world, as arguments of the command line."""

import yaml
from fakes.runs import pretrain_values, probe_values
from fakes.several import NARROW, two_teachers
from fakes.teachers import write_vit
from faults.trials import World

# AdamW divides by the size of a gradient: with the usual 1e-8, gradients that are all rounding move
# a weight as far as real ones, so two orders of one sum would part at once; so do large rates.
_CALM = {"eps": 1e-3, "lr": 1e-3}


def all_tasks(world: World) -> dict[str, list[str]]:
    """Distillation from one teacher and from two, and probe and fine-tuning of the first.

    ``{folder}`` holds the earlier runs.
    """
    folder = world.folder
    recipes = {"pretrain": pretrain_values(folder), "probe": probe_values(folder)}
    recipes["finetune"] = probe_values(folder) | {"kind": "finetune"}
    del recipes["finetune"]["cache_features"]
    recipes["finetune"]["train"] = {"steps": 10, "batch_size": 4, "micro_batch": 2}
    recipes["finetune"]["sampling"] = {"max_points": 400, "augmentation": {"kind": "finetune"}}
    recipes["pretrain"]["train"] |= {"batch_size": 4, "micro_batch": 2, "steps": 10}
    write_vit(folder / "narrow", seed=5, hidden_size=NARROW)
    two = two_teachers(folder, cameras=["front_camera"])
    recipes["several"] = recipes["pretrain"] | {"teacher": two}
    commands = {}
    for task, values in recipes.items():
        values["optimizer"] = values.get("optimizer", {}) | _CALM | {"clip_norm": 1.0}
        file = folder / f"{task}-task.yaml"
        file.write_text(yaml.safe_dump(values))
        kind = values["kind"]
        start = [] if kind == "pretrain" else ["checkpoint={folder}/pretrain"]
        commands[task] = [kind, str(file), *start]
    return commands
