"""A stand-in for a GPU that nobody has, and a count of what would make Python wait for it.

The stand-in is PyTorch's meta device, whose tensors have shapes and no numbers: whoever wants to
see one has to ask, and asking is what is counted.
"""

import contextlib
import importlib
import traceback
from collections import Counter
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("meta")
_SIZED_BY_VALUES = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"} | {
    *("bincount", "equal", "is_nonzero", "repeat_interleave")
}
"""Operations whose result, or its size, depends on numbers that lie on the GPU."""
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Waits(TorchDispatchMode):
    """Counts, by where in the package and by what, in ``found``."""

    def __init__(self):
        super().__init__()
        self.found = Counter()
        self._calls = _Calls(self)

    def __enter__(self):
        self._calls.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._calls.__exit__(*error)

    def note(self, what):
        files = [Path(f.filename) for f in traceback.extract_stack()]
        own = [
            file.stem for file in files if "lidistill" in file.parts[:-1] and "src" in file.parts
        ]
        self.found[own[-1] if own else "outside", what] += 1

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        options = options or {}
        name = operation.overloadpacket.__name__
        tensors = [x for x in tree_leaves((arguments, options)) if isinstance(x, torch.Tensor)]
        if not any(tensor.device == GPU for tensor in tensors):
            if name == "_to_copy" and options.get("device") == GPU:
                self._copied(options.get("non_blocking", False), "to")
            return operation(*arguments, **options)
        if name == "_local_scalar_dense":
            self.note("a number")
            return 1
        if name in _SIZED_BY_VALUES and options.get("output_size") is None:
            self.note(name)
        if name == "nonzero":
            shape = arguments[0].numel(), arguments[0].dim()
            return torch.zeros(shape, dtype=torch.int64, device=GPU)
        if name in _INDEXING and any(i is not None and i.dtype == torch.bool for i in arguments[1]):
            self.note("a mask")
        if name == "_to_copy" and options.get("device", GPU).type == "cpu":
            self.note("copy from the GPU")
            return torch.ones(arguments[0].shape, dtype=options.get("dtype") or arguments[0].dtype)
        if name == "copy_" and arguments[1].device != arguments[0].device:
            self._copied(len(arguments) > 2 and arguments[2], "to")
        return operation(*arguments, **options)

    def _copied(self, non_blocking, way):
        if not non_blocking:
            self.note(f"copy {way} the GPU")


class _Calls(TorchFunctionMode):
    """What PyTorch does before its dispatcher: numbers of Python that go to the GPU."""

    def __init__(self, waits):
        super().__init__()
        self._waits = waits

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = options or {}
        name = getattr(function, "__name__", "")
        if name in {"tensor", "as_tensor"} and torch.device(options.get("device") or "cpu") == GPU:
            self._waits.note("copy to the GPU")
        if name == "new_tensor" and arguments[0].device == GPU:
            self._waits.note("copy to the GPU")
        if name in {"__getitem__", "__setitem__"} and arguments[0].device == GPU:
            index = arguments[1] if isinstance(arguments[1], tuple) else (arguments[1],)
            if any(isinstance(i, list) or _is_on_cpu(i) for i in index):
                self._waits.note("copy to the GPU")
        return function(*arguments, **options)


def _is_on_cpu(index):
    return isinstance(index, torch.Tensor) and index.device.type == "cpu" and index.dim() > 0


def let_it_train(monkeypatch):
    """Make PyTorch's autocast and fused optimisers take the stand-in for a GPU."""
    autocast, is_enabled = torch.autocast, torch.is_autocast_enabled

    def known(device_type, *arguments, **options):
        if device_type == GPU.type:
            return contextlib.nullcontext()
        return autocast(device_type, *arguments, **options)

    def enabled(device_type=None):
        return False if device_type == GPU.type else is_enabled(device_type)

    monkeypatch.setattr(torch, "autocast", known)
    monkeypatch.setattr(torch, "is_autocast_enabled", enabled)
    optimizer = importlib.import_module("torch.optim.optimizer")
    devices = "_get_fused_kernels_supported_devices"
    monkeypatch.setattr(optimizer, devices, lambda: [GPU.type, "cpu"])
