"""What the names in a PyTorch file stand for: tensors over its storages, or nothing at all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from lidistill.reading.names import shown
from lidistill.reading.plain_pickle import ForeignError, HostileError, Inert, Name

_MAX_DIMS: Final = 16
_MAX_SIDE: Final = 1 << 40

_STORAGES: Final = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_QUANTISED: Final = {"QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage"}
_SPECIAL: Final = {
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor of the device 'meta', which has no values",
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_wrapper_subclass": "a tensor of a class of its own",
    "_rebuild_device_tensor_from_numpy": "a tensor in NumPy's form",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of a special device",
}
_INERT_PACKAGES: Final = frozenset(
    {
        *("argparse", "collections", "datetime", "decimal", "enum", "fractions", "pathlib", "uuid"),
        *("addict", "easydict", "omegaconf", "yacs"),
        *("lightning", "lightning_fabric", "lightning_utilities", "pytorch_lightning"),
        *("torch", "typing"),
    }
)
"""Packages of which training scripts leave settings, paths and counters in a checkpoint."""
_PLAIN_TYPES: Final = (
    *("set", "frozenset", "bytearray", "bytes", "complex", "slice", "range"),
    *("object", "int", "float", "str", "bool", "list", "dict", "tuple"),
)
_INERT: Final = frozenset(
    {
        *("types.SimpleNamespace", "copyreg._reconstructor", "copy_reg._reconstructor"),
        *("numpy.dtype", "numpy.ndarray", "numpy.matrix"),
        *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _PLAIN_TYPES),
        *(
            f"numpy.{core}.{name}"
            for core in ("core.multiarray", "_core.multiarray", "core.numeric", "_core.numeric")
            for name in ("scalar", "_reconstruct", "_frombuffer")
        ),
    }
)
_PROGRAMS: Final = frozenset(
    {
        *("builtins", "__builtin__", "os", "posix", "nt", "subprocess", "sys", "io", "shutil"),
        *(
            "socket",
            "importlib",
            "runpy",
            "pty",
            "ctypes",
            "webbrowser",
            "pickle",
            "code",
            "timeit",
        ),
        *(
            "commands",
            "asyncio",
            "multiprocessing",
            "pip",
            "pydoc",
            "operator",
            "functools",
            "numpy",
        ),
    }
)
"""What a pickle that was made to do harm begins with; no class of a training script lies there."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Values of one kind in a row, somewhere in a file."""

    key: str
    dtype: torch.dtype
    nbytes: int


View = Callable[[Storage, torch.dtype], Tensor]
"""Gives all values of a storage, flat, in a dtype; they are not touched."""


def refer_to_storage(reference: Any) -> Storage | Inert:
    """What a persistent id of a PyTorch file means.

    Raises:
        ForeignError: If it is of a form not read here.
        ValueError: If it is damaged.
    """
    kind, *rest = reference if isinstance(reference, tuple) else (None,)
    if kind not in {"storage", b"storage"} or len(rest) not in {4, 5} or any(rest[4:]):
        msg = "it refers to more than storages, as files of old versions and whole modules do"
        raise ForeignError(msg)
    name, key, _, count = rest[:4]
    if isinstance(name, Name) and name.name in _QUANTISED:
        return Inert(_SPECIAL["_rebuild_qtensor"])
    dtype = _STORAGES.get(name.name) if isinstance(name, Name) else None
    if dtype is None or not _is_count(count):
        msg = f"it has a storage of the kind {shown(str(name))} with {shown(count)} values"
        raise ValueError(msg)
    return Storage(str(key), dtype, count * dtype.itemsize)


def make_with(view: View) -> Callable[[Name, Any], Any]:
    """The answer to a pickle's calls: tensors, plain containers, ``Inert`` for all that is known.

    Args:
        view: Opens a storage.
    """

    def make(function: Name, arguments: Any) -> Any:
        if not isinstance(arguments, tuple):
            msg = f"it calls {function} with a {type(arguments).__name__}"
            raise ValueError(msg)  # noqa: TRY004  whoever reads a file catches one error
        if function.module == "torch._utils" and function.name.startswith("_rebuild_tensor"):
            return _tensor(view, *arguments)
        if (function.module, function.name) == ("torch._tensor", "_rebuild_from_type_v2"):
            return make(arguments[0], arguments[2])
        plain = _PLAIN.get((function.module, function.name))
        return _record(function) if plain is None else plain(arguments)

    return make


def _bytes(arguments: tuple[Any, ...]) -> bytes:
    """How the second protocol of pickles writes bytes: as the text of the same codes."""
    text, coding = arguments
    if not isinstance(text, str) or coding != "latin1":
        msg = f"bytes are written as {shown(coding)}"
        raise ValueError(msg)
    return text.encode("latin-1")


_PLAIN: Final[dict[tuple[str, str], Callable[[tuple[Any, ...]], Any]]] = {
    ("torch._utils", "_rebuild_parameter"): lambda arguments: arguments[0],
    ("torch._utils", "_rebuild_parameter_with_state"): lambda arguments: arguments[0],
    ("torch", "Size"): lambda arguments: tuple(arguments[0]),
    ("collections", "OrderedDict"): lambda arguments: dict(*arguments[:1]),
    ("collections", "defaultdict"): lambda _: {},
    ("_codecs", "encode"): _bytes,
}
"""Names that stand for plain values, and how these follow from what they are called with."""


def _record(function: Name) -> Inert:
    if function.module == "torch" and function.name.endswith("Tensor"):
        return Inert(f"a {function.name} of an old form")
    if function.module == "torch._utils" and function.name in _SPECIAL:
        return Inert(_SPECIAL[function.name])
    full = f"{function.module}.{function.name}"
    if full in _INERT or function.module.split(".")[0] in _INERT_PACKAGES or _is_numpy(function):
        return Inert(str(function))
    msg = f"it asks for {function}; refused, nothing was run"
    raise (HostileError if function.module.split(".")[0] in _PROGRAMS else ForeignError)(msg)


def _is_numpy(function: Name) -> bool:
    """Whether it is a scalar type, or a part of a random generator's state."""
    kinds = ("int", "uint", "float", "bool", "complex", "longdouble", "datetime", "timedelta")
    plain = function.module == "numpy" and function.name.startswith(kinds)
    return plain or function.module.startswith(("numpy.dtypes", "numpy.random"))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_SIDE


def _tensor(view: View, *arguments: Any) -> Tensor | Inert:
    """A tensor, once its shape and its strides are found to lie within its storage."""
    storage, offset, size, stride, *rest = arguments
    if isinstance(storage, Inert):
        return storage
    if not isinstance(storage, Storage):
        msg = "it has a tensor without a storage"
        raise ValueError(msg)  # noqa: TRY004
    # The third version says the kind of the values, over bytes.
    dtype = storage.dtype
    if len(rest) > 2 and isinstance(rest[2], Name):
        named = getattr(torch, rest[2].name, None)
        if not isinstance(named, torch.dtype):
            return Inert(f"a tensor of the kind {rest[2]}")
        dtype = named
    count = storage.nbytes // dtype.itemsize
    _check_extent(offset, size, stride, count)
    return view(storage, dtype).as_strided(size, stride, offset)


def _check_extent(offset: Any, size: Any, stride: Any, count: int) -> None:
    """Compare what a tensor wants with what its storage has, before anything is built."""
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or len(size) > _MAX_DIMS or not all(map(_is_count, numbers)):
        msg = f"it has a tensor of {len(size)} dimensions whose shape cannot be"
        raise ValueError(msg)
    wanted = 1
    for side in size:
        wanted *= side
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if wanted and last >= count:
        msg = f"a tensor of the shape {_text(size)} has a storage of {count} values only"
        raise ValueError(msg)
    if wanted > max(count, 1):
        msg = f"a tensor of the shape {_text(size)} shows each of {count} values many times"
        raise ForeignError(msg)


def _text(size: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, size))})"
