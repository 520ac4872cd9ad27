"""Files that ``torch.save`` wrote, read without PyTorch's reader: no code, no surprise in size.

Shapes are known, and checked against what the file holds, before a value is touched: the file is
mapped, so that what is not asked for costs no memory. Both forms are read, the zip of today and
the older row of pickles.
"""

import io
import shlex
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Final

from lidistill.errors import FileFormatError, first_line
from lidistill.reading.files import open_file
from lidistill.reading.mapped_file import _MAX_PLAIN, Budgeted, Mapped
from lidistill.reading.names import shown
from lidistill.reading.plain_pickle import ForeignError, HostileError, read_pickle
from lidistill.reading.torch_objects import Storage, make_with, refer_to_storage

MAX_BYTES: Final = 32 * 2**30
"""Size at which a file of weights is refused; the largest DINOv3 takes 27 GB. It is mapped, so what
nobody asks for costs no memory."""
_LOCAL_HEADER: Final = 30
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_BLOCK: Final = 512


def read_torch_file(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """What a file of ``torch.save`` holds: plain values, tensors, and ``Inert`` for the rest.

    Tensors share the memory of the mapped file; changing one changes no file.

    Raises:
        ForeignError: If it cannot be read without running it, or is of a form not read here.
        ValueError: If it is damaged, too large, or no such file.
        OSError: If it cannot be opened.
    """
    try:
        with open_file(path, max_bytes=max_bytes) as file:
            start = file.read(_BLOCK)
            if start.startswith(b"PK\x03\x04"):
                return _read_zip(file)
            if not start.startswith(b"\x80") or b"ustar" in start:
                raise _not_from_torch(start)
            file.seek(0)
            return _read_row(file)
    except FileFormatError as error:
        raise ValueError(first_line(error)) from error
    except (zipfile.BadZipFile, NotImplementedError, struct.error, RuntimeError) as error:
        raise ValueError(first_line(error)) from error


def _read_zip(file: BinaryIO) -> Any:
    """A file of PyTorch 1.6 and later: a zip of a pickle and of one member for each storage."""
    with zipfile.ZipFile(Budgeted(file)) as archive:
        members = archive.infolist()
        root = members[0].filename.split("/")[0] if members else ""
        names = {member.filename: member for member in members}
        if f"{root}/data.pkl" not in names:
            msg = "it is a zip of something else, without a data.pkl"
            raise ForeignError(msg)
        order = names.get(f"{root}/byteorder")
        if order is not None and archive.read(order) != b"little":
            msg = "it was written on a machine whose numbers begin with their highest byte"
            raise ForeignError(msg)
        content = Mapped(file)
        for member in members:
            folder, _, key = member.filename.rpartition("/")
            if folder == f"{root}/data":
                content.places[key] = _place(file, member)
        with archive.open(f"{root}/data.pkl") as pickle:
            plain = io.BytesIO(pickle.read(_MAX_PLAIN))
    return read_pickle(plain, make=make_with(content.view), refer=refer_to_storage)


def _place(file: BinaryIO, member: zipfile.ZipInfo) -> tuple[int, int]:
    """First byte and size of a member that lies in the zip as it is."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        msg = f"its member {shown(member.filename)} is compressed, expected values as they are"
        raise ForeignError(msg)
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    name, extra = struct.unpack_from("<HH", header, _LOCAL_HEADER - 4)
    return member.header_offset + _LOCAL_HEADER + name + extra, member.file_size


def _read_row(file: BinaryIO) -> Any:
    """A file of PyTorch before 1.6: five pickles in a row, then the storages."""
    source = Budgeted(file)
    storages: dict[str, Storage] = {}

    def note(reference: Any) -> None:
        found = refer_to_storage(reference)
        if isinstance(found, Storage):
            storages[found.key] = found

    def read(*, make: Any = lambda *_: None, refer: Any = note) -> Any:
        return read_pickle(source, make=make, refer=refer)

    if read() != _MAGIC or read() != _PROTOCOL:
        msg = "a pickle of another program, or damaged; expected a file of torch.save"
        raise ValueError(msg)
    read()  # of the machine that wrote it
    start = file.tell()
    read()  # which storages there are; where they lie is said behind it
    keys = read()
    content = Mapped(file)
    for key in map(str, keys if isinstance(keys, list) else ()):
        (count,) = struct.unpack("<q", file.read(8))
        size = storages[key].nbytes if key in storages else -1
        if size < 0 or count * storages[key].dtype.itemsize != size:
            msg = f"its storage {shown(key)} has {count} values, another number was announced"
            raise ValueError(msg)
        content.places[key] = file.tell(), size
        file.seek(size, io.SEEK_CUR)
    file.seek(start)
    return read(make=make_with(content.view), refer=refer_to_storage)


def _not_from_torch(start: bytes) -> ValueError:
    if b"ustar" in start:
        return ForeignError("a tar, as PyTorch wrote it before 2017, or an archive to be unpacked")
    if start.lstrip()[:1] == b"<":
        return ValueError("a web page; download the file that it leads to")
    return ValueError("no file that torch.save wrote")


_PLAIN: Final = (
    "import sys, torch; f = lambda x: (x.dequantize() if x.is_quantized else x.to_dense())"
    ".detach().clone() if torch.is_tensor(x) else f(x.state_dict()) if hasattr(x, 'state_dict') "
    "else {k: f(v) for k, v in x.items()} if hasattr(x, 'items') else None; "
    "torch.save(f(torch.load(sys.argv[1], 'cpu', weights_only=False)), sys.argv[2])"
)


def how_to_mend(error: Exception | None, path: Path) -> str:
    """What to do about a file that ``read_torch_file`` refused.

    Args:
        error: Why; None where all of it is one object.
        path: The file.
    """
    if isinstance(error, ForeignError) or error is None:
        return (
            "to get its tensors out, and only if you trust its authors, run in the environment "
            f'it was made in: python -c "{_PLAIN}" {shlex.quote(str(path))} plain.pth; then give '
            "plain.pth."
        )
    if isinstance(error, HostileError):
        return "no weights need that, so do not load it with anything else; ask its authors."
    return "expected a whole file that torch.save wrote; if it was cut off, get it again."
