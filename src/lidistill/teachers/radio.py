"""C-RADIO as its authors' own code saves it, read without running that code.

The present files of C-RADIOv4 name transformers' class of it. Older ones (v2, v3) name code that
comes with the weights; what transformers' class needs is read off their configuration and tensors.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

_MODEL: Final = "radio_model.model."
_PATCHES: Final = f"{_MODEL}patch_generator."
_HEADS: Final = {384: 6, 768: 12, 1024: 16, 1152: 16, 1280: 16}
"""Attention heads by width: S, B, L, SO400M, H."""
_KNOWN: Final = re.compile(
    r"radio_model\.(summary_idxs|input_conditioner\.norm_(mean|std)"
    r"|model\.patch_generator\.(embedder\.weight|pos_embed|cls_token\.token)"
    r"|model\.blocks\.\d+\.(norm1|norm2|attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.(weight|bias))"
)
_NOT_READ: Final = re.compile(r"radio_model\.(adaptors|model\.patch_generator\.video_embedder)\.")
"""What leads to other teachers' spaces, and patches of videos."""


def is_authors_radio(values: Any) -> bool:
    """Whether a ``config.json`` is of a RADIO that comes with code of its own."""
    return (
        isinstance(values, dict)
        and values.get("architectures") == ["RADIOModel"]
        and isinstance(values.get("args"), dict)
        and not values.get("model_type")
    )


def radio_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that make features of an image.

    Raises:
        ValueError: If one changes them in a way that transformers' class does not know.
    """
    kept = {name: tensor for name, tensor in state.items() if not _NOT_READ.match(name)}
    odd = next((name for name in kept if not _KNOWN.fullmatch(name)), None)
    if odd is not None:
        msg = (
            f"{odd[:100]!r} is no part of a C-RADIO of the sizes B, L, H or SO400M, which is what "
            "transformers has"
        )
        raise ValueError(msg)
    return kept


def radio_arguments(values: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of transformers' configuration of a RADIO.

    Args:
        values: The authors' ``config.json``.
        state: As ``radio_tensors`` gives it.

    Raises:
        ValueError: If the two do not fit each other, or no known size.
    """
    try:
        width, inside = state[f"{_PATCHES}embedder.weight"].shape
        num_positions = state[f"{_PATCHES}pos_embed"].shape[1]
        num_prefix = state[f"{_PATCHES}cls_token.token"].shape[0]
        hidden = state[f"{_MODEL}blocks.0.mlp.fc1.weight"].shape[0]
        summary = state["radio_model.summary_idxs"].tolist()
        colours = [state[f"radio_model.input_conditioner.norm_{n}"] for n in ("mean", "std")]
    except (KeyError, ValueError, IndexError) as error:
        msg = f"its weights are not a whole C-RADIO ({error})"
        raise ValueError(msg) from error
    patch = math.isqrt(inside // 3)
    layers = {name.split(".")[3] for name in state if name.startswith(f"{_MODEL}blocks.")}
    num_class = _num_class_tokens(values["args"])
    if width not in _HEADS or 3 * patch**2 != inside or not 0 < num_class <= num_prefix:
        msg = (
            f"{width} channels, patches of {inside} values and {num_class} of {num_prefix} tokens "
            f"of the class are no known C-RADIO; known widths: {', '.join(map(str, _HEADS))}"
        )
        raise ValueError(msg)
    return {
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": _HEADS[width],
        "mlp_ratio": hidden / width,
        "patch_size": patch,
        "max_img_size": math.isqrt(num_positions) * patch,
        "num_cls_tokens": num_class,
        "num_registers": num_prefix - num_class,
        "summary_idxs": summary,
        "norm_mean": colours[0].flatten().tolist(),
        "norm_std": colours[1].flatten().tolist(),
    }


def _num_class_tokens(arguments: Mapping[str, Any]) -> int:
    """One for each network that it was distilled from, where the configuration says so."""
    teachers = arguments.get("teachers")
    if not arguments.get("cls_token_per_teacher"):
        return 1
    names = {t.get("name") for t in teachers if isinstance(t, dict)} if teachers else set()
    if not names or not all(isinstance(name, str) for name in names):
        msg = "its configuration names no teachers, of which each has a token"
        raise ValueError(msg)
    return len(names)
