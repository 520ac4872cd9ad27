"""Classes by their names, for a student of a teacher that has a text partner.

Two partners are read, each from a folder ``text/`` with a text encoder and its tokenizer as
transformers saves them, beside the weights of what joins both spaces:

- ``projection.*``, Talk2DINO's: text features of CLIP into the patches' space of a DINOv2 with
  registers. Weights ``linear_layer.*`` and ``hidden_layers.N.*`` (once ``linear_layer2.*``), with
  tanh between.
- ``adaptor.*``, C-RADIO's of its patches into SigLIP 2's space: ``fc1.*``, ``blocks.N.*``,
  ``final.*``, and ``pre_norm.*`` where there is one.

Shape letters: P points, T teacher channels, S channels of the text's space, K classes.

References:
    Barsellotti et al., "Talking to DINO", ICCV 2025. Ranzinger et al., "AM-RADIO", CVPR 2024;
    Tschannen et al., "SigLIP 2", 2025.
"""

import importlib
import re
import string
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lidistill.apps.features import FeatureModel
from lidistill.apps.few_shot import Comparable
from lidistill.apps.open_vocabulary import with_directions
from lidistill.errors import CheckpointError, ConfigError, WeightsNotFoundError, first_line
from lidistill.labels import IGNORE
from lidistill.reading.names import shown
from lidistill.teachers.weights import read_state
from lidistill.training.fitting import build_fitting

PROMPTS: Final = ("{}", "a photo of a {}", "a {} in a street")
_ENDINGS: Final = (".safetensors", ".pth", ".pt", ".bin")
_OTHER: Final = re.compile(r"(attn_weights|weight_layer\d?)\b.*")  # of Talk2DINO's training alone
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_LENGTH: Final = 64  # tokens of a SigLIP text, filled up


def class_names_of(text: str) -> tuple[str, ...]:
    """Names from ``car, tree, …``.

    Raises:
        ConfigError: If there are not two or more different ones.
    """
    names = tuple(part.strip() for part in text.split(","))
    if len(names) < 2 or len(set(names)) != len(names) or "" in names or len(names) > IGNORE:
        msg = f"--classes {shown(text)}: expected 2 to {IGNORE} different names, as in 'car, tree'."
        raise ConfigError(msg)
    return names


def with_text(model: FeatureModel, names: Sequence[str], folder: Path) -> FeatureModel:
    """The same network under a head that compares its output with the names of classes.

    Args:
        model: Of a distillation.
        names: Classes.
        folder: The teacher's text partner; see the module.

    Raises:
        WeightsNotFoundError: If the folder holds no partner.
        CheckpointError: If partner and student do not fit.
    """
    if (directions_KT := text_directions(model, names, folder)) is not None:
        none_K = torch.zeros(len(names))
        return with_directions(model, tuple(names), directions_KT, none_K, standardised=False)
    if (file := _weights(folder, "adaptor")) is None:
        raise _no_partner(folder)
    texts_KS = encode_texts(names, folder / "text")
    channels = sum(model.head_widths)
    if model.teacher_mean is not None:
        msg = (
            f"{model.checkpoint} was distilled from centred features, which an adaptor cannot "
            "read; give a distillation with target.center_batches=0."
        )
        raise CheckpointError(msg)
    adaptor = read_adaptor(file, channels, texts_KS.shape[1])
    assert model.head is not None  # noqa: S101  looked at above
    head = nn.Sequential(
        model.head, Comparable(model.head_widths), _WithLength(channels), adaptor, _Cosine(texts_KS)
    )
    head.requires_grad_(requires_grad=False)
    return replace(model, head=head.to(model.device).eval(), class_names=tuple(names))


@torch.no_grad()
def text_directions(model: FeatureModel, names: Sequence[str], folder: Path) -> Tensor | None:
    """(K, T) directions of texts in the teacher's space; None where nothing leads there.

    A projection leads from texts to the teacher's patches; an adaptor goes the other way. Arguments
    and errors are those of ``with_text``.
    """
    model.check_one_head()
    if model.head is None or model.class_names:
        msg = f"{model.checkpoint} has no head into its teacher's space; give a distillation."
        raise CheckpointError(msg)
    if (file := _weights(folder, "projection")) is None:
        return None
    texts_KS = encode_texts(names, folder / "text")
    projection = read_projection(file, texts_KS.shape[1], sum(model.head_widths))
    directions_KT = F.normalize(projection(texts_KS), dim=1)
    if model.teacher_mean is None:
        return directions_KT
    # The student knows what differs from the mean; a text has the length of the mean.
    mean_T = torch.from_numpy(model.teacher_mean).float()
    return F.normalize(directions_KT * mean_T.norm() - mean_T, dim=1)


def text_direction(model: FeatureModel, words: str, folder: Path) -> NDArray[np.float32]:
    """(T,) where words lie in the teacher's space, of length one.

    Args:
        model: Of a distillation.
        words: What is looked for.
        folder: The teacher's text partner; see the module.

    Raises:
        CheckpointError: If partner and student do not fit.
        ConfigError: If the partner leads from the teacher's space to texts, not back.
        WeightsNotFoundError: If the folder holds no partner.
    """
    if (found := text_directions(model, (words,), folder)) is None:
        if not folder.is_dir():
            raise _no_partner(folder)
        msg = (
            f"{folder} holds no projection from texts into the teacher's space (an adaptor leads "
            "the other way); classes by names: lidistill predict --classes."
        )
        raise ConfigError(msg)
    return np.asarray(found[0].numpy())


@torch.no_grad()
def encode_texts(names: Sequence[str], folder: Path) -> Tensor:
    """(K, S) unit text features of classes, the mean over ``PROMPTS``.

    Args:
        names: Classes.
        folder: Text encoder and tokenizer of CLIP, SigLIP or SigLIP 2, as transformers saves them.

    Raises:
        WeightsNotFoundError: If it holds none of them.
    """
    transformers = importlib.import_module("transformers")
    try:
        settings = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        sigmoid = settings.model_type.startswith("siglip")
        kind = "SiglipTextModel" if sigmoid else "CLIPTextModelWithProjection"
        network: Any = getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        msg = (
            f"{folder} holds no text encoder with its tokenizer ({first_line(error)[:200]}); save "
            "CLIP's or SigLIP's there with transformers' save_pretrained."
        )
        raise WeightsNotFoundError(msg) from error
    rows = []
    for name in names:
        texts = [prompt.format(name) for prompt in PROMPTS]
        if sigmoid:  # trained on lower case without punctuation, always filled up
            texts = [text.translate(_PUNCTUATION).lower() for text in texts]
            limit = min(_LENGTH, int(network.config.max_position_embeddings))
            padding: dict[str, Any] = {"padding": "max_length", "max_length": limit}
        else:
            padding = {"padding": True}
        tokens = tokenizer(texts, return_tensors="pt", truncation=True, **padding)
        found = (
            network.eval()(input_ids=tokens["input_ids"]) if sigmoid else network.eval()(**tokens)
        )
        features = found.pooler_output if sigmoid else found.text_embeds
        rows.append(F.normalize(F.normalize(features.float(), dim=1).mean(0), dim=0))
    return torch.stack(rows)


def read_projection(file: Path, channels: int, width: int) -> nn.Module:
    """Talk2DINO's way from text features to directions of patches.

    Raises:
        CheckpointError: If the file holds something else, or other widths.
    """
    state = {name: tensor.float() for name, tensor in read_state(file).items()}
    state = {name: tensor for name, tensor in state.items() if not _OTHER.fullmatch(name)}
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        old = name.replace("linear_layer2.", "hidden_layers.0.")
        found = re.fullmatch(r"hidden_layers\.(\d+)\.(.*)", old)
        place = 2 * (int(found[1]) + 1) if found else 0
        renamed[f"{place}.{found[2] if found else old.removeprefix('linear_layer.')}"] = tensor
    num_hidden = len({name.partition(".")[0] for name in renamed}) - 1

    def build() -> nn.Sequential:
        layers: list[nn.Module] = [nn.Linear(channels, width)]
        for _ in range(max(0, num_hidden)):
            layers += [nn.Tanh(), nn.Linear(width, width)]
        return nn.Sequential(*layers)

    return build_fitting(build, renamed, source=file, advice="is it this teacher's projection?")


def read_adaptor(file: Path, channels: int, width: int) -> nn.Module:
    """C-RADIO's way from patches to the space of a text partner.

    Raises:
        CheckpointError: If the file holds something else, or other widths.
    """
    state = {name: tensor.float() for name, tensor in read_state(file).items()}
    hidden = len(state["fc1.weight"]) if "fc1.weight" in state else 1
    blocks = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    normed = "pre_norm.0.weight" in state
    return build_fitting(
        lambda: _Adaptor(channels, hidden, width, num_blocks=blocks, pre_norm=normed),
        state,
        source=file,
        advice="is it the adaptor of this teacher's patches?",
    ).eval()


class _Adaptor(nn.Module):
    """A perceptron with residual blocks, in the names of the published weights."""

    def __init__(
        self, channels: int, hidden: int, width: int, *, num_blocks: int, pre_norm: bool
    ) -> None:
        super().__init__()
        self.pre_norm: nn.Module = nn.Identity()
        if pre_norm:
            self.pre_norm = nn.Sequential(nn.LayerNorm(channels), nn.GELU())
        self.fc1 = nn.Linear(channels, hidden)
        self.blocks = nn.ModuleList(_normed(hidden, hidden) for _ in range(num_blocks))
        self.final = _normed(hidden, width)

    def forward(self, patches_PT: Tensor) -> Tensor:
        """(P, S)."""
        hidden = self.fc1(self.pre_norm(patches_PT))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.final(hidden)


def _normed(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(channels), nn.GELU(), nn.Linear(channels, width))


class _WithLength(nn.Module):
    """Directions at the length of features whose channels have deviation 1.

    A student's lengths are not trained; the norms of an adaptor leave little to them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._length = channels**0.5

    def forward(self, features_PT: Tensor) -> Tensor:
        """(P, T)."""
        return self._length * F.normalize(features_PT, dim=1)


class _Cosine(nn.Module):
    """Cosine of features with each class's text."""

    def __init__(self, texts_KS: Tensor) -> None:
        super().__init__()
        self.register_buffer("texts", texts_KS)

    def forward(self, features_PS: Tensor) -> Tensor:
        """(P, K)."""
        return F.normalize(features_PS, dim=1) @ self.get_buffer("texts").t()


def _weights(folder: Path, stem: str) -> Path | None:
    files = (folder / f"{stem}{ending}" for ending in _ENDINGS)
    return next((file for file in files if file.is_file()), None)


def _no_partner(folder: Path) -> WeightsNotFoundError:
    found = f"holds neither projection nor adaptor ({', '.join(_ENDINGS)})"
    return WeightsNotFoundError(
        f"{folder} {found if folder.is_dir() else 'is no folder'}; give a folder "
        "with text/ and the weights that join text and teacher."
    )
