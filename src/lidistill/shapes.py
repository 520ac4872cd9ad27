"""Whether arrays have the shapes that belong together."""

from numpy import generic
from numpy.typing import NDArray
from torch import Tensor


def check_shape(
    name: str, array: NDArray[generic] | Tensor, expected: tuple[int | None, ...]
) -> None:
    """See to it that an array has a shape.

    Args:
        name: What to call it in the message.
        array: The array.
        expected: Length of each axis; None: any.

    Raises:
        ValueError: If it has another.
    """
    shape = tuple(array.shape)
    fits = len(shape) == len(expected) and all(
        want is None or want == got for got, want in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in expected)
        msg = f"{name} has shape {shape}, expected ({wanted})"
        raise ValueError(msg)
