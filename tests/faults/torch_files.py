"""Files in PyTorch's form that PyTorch would not write."""

import io
import pickle
import struct
import zipfile

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
