"""Files in PyTorch's form that PyTorch would not write."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import torch


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def write_zip(path, content, storages=None, *, packing=zipfile.ZIP_STORED):
    """A file of a pickle (bytes) or of what is to be pickled, and of storages by their keys."""
    if not isinstance(content, bytes):
        content = pickle.dumps(content, protocol=2)
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("model/data.pkl", content)
        for key, data in (storages or {}).items():
            with archive.open(f"model/data/{key}", "w", force_zip64=True) as member:
                for piece in [data] if isinstance(data, bytes) else data:
                    member.write(piece)
    return path


def saved(state, **options):
    """Bytes of ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


def legacy_with_count(state, count):
    """A file of the old form whose last storage, of four values, claims another number."""
    content = saved(state, _use_new_zipfile_serialization=False)
    at = content.rfind(struct.pack("<q", 4))
    return content[:at] + struct.pack("<q", count) + content[at + 8 :]


class _Large:
    """Pickles as a tensor of bytes, whose storage follows as a hole in the file."""

    def __init__(self, count):
        self.count = count

    def __reduce__(self):
        storage = _Hole(self.count)
        arguments = storage, 0, (self.count,), (1,), False, OrderedDict()
        return torch._utils._rebuild_tensor_v2, arguments


class _Hole:
    def __init__(self, count):
        self.count = count


class _Pickler(pickle.Pickler):
    def persistent_id(self, found):
        if isinstance(found, _Hole):
            return "storage", torch.ByteStorage, "0", "cpu", found.count, None
        return None


def write_sparse_weights(path, count):
    """A file of the old form with one tensor of ``count`` zero bytes, which takes no room."""
    with path.open("wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, {}):  # magic, protocol, machine
            pickle.dump(value, file, protocol=2)
        _Pickler(file, protocol=2).dump({"w": _Large(count)})
        pickle.dump(["0"], file, protocol=2)
        file.write(struct.pack("<q", count))
        file.truncate(file.tell() + count)
    return path
