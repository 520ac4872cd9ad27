"""A few numbers that a compiled loop handles at once.

LLVM makes vectors of long loops by itself, not of eight numbers whose memory may overlap with what
is written. These functions, for use inside ``numba.njit`` only, say what is meant; LLVM picks the
instructions of whatever processor it compiles for.

Shape letters: L numbers of a vector.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

_INT32: Final = ir.IntType(32)
_INT64: Final = ir.IntType(64)


class Lanes(types.Type):
    """Type of a vector of so many float64, which lives in registers only."""

    def __init__(self, width: int) -> None:
        super().__init__(name=f"Lanes({width})")
        self.width = width

    def vector(self) -> ir.VectorType:
        """LLVM's type of it."""
        return ir.VectorType(ir.DoubleType(), self.width)


FOUR: Final = Lanes(4)
EIGHT: Final = Lanes(8)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, lanes.vector())


def _inline(result: Callable[..., Any], generate: Callable[..., Any]) -> Any:
    """A function for compiled code: its result's type, and LLVM's instructions for its values."""

    def typed(*kinds: Any) -> Any:
        kinds = tuple(types.unliteral(kind) for kind in kinds)

        def lowered(context: Any, builder: ir.IRBuilder, _: Any, values: Any) -> Any:
            arrays = [
                context.make_array(kind)(context, builder, value).data
                if isinstance(kind, types.Array)
                else value
                for kind, value in zip(kinds, values, strict=True)
            ]
            made = generate(builder, *arrays)
            return context.get_dummy_value() if made is None else made

        return result(*kinds)(*kinds), lowered

    # numba looks at the number of arguments, so that there is a form for each.
    forms: dict[int, Callable[..., Any]] = {
        1: lambda _, first: typed(first),
        2: lambda _, first, second: typed(first, second),
        3: lambda _, first, second, third: typed(first, second, third),
    }
    return intrinsic(forms[len(inspect.signature(generate).parameters) - 1])


def _loader(lanes: Lanes) -> Any:
    def load(builder: ir.IRBuilder, data: ir.Value, at: ir.Value) -> ir.Value:
        pointer = builder.bitcast(builder.gep(data, [at]), lanes.vector().as_pointer())
        return builder.load(pointer, align=8)

    return _inline(lambda *_: lanes, load)


def _store(builder: ir.IRBuilder, data: ir.Value, at: ir.Value, lanes: ir.Value) -> None:
    pointer = builder.bitcast(builder.gep(data, [at]), lanes.type.as_pointer())
    builder.store(lanes, pointer, align=8)


def _spread(builder: ir.IRBuilder, value: ir.Value, width: int) -> ir.Value:
    """The same number in every lane."""
    nothing = ir.Constant(ir.VectorType(value.type, width), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_INT32, 0))
    zeros = ir.Constant(ir.VectorType(_INT32, width), [0] * width)
    return builder.shuffle_vector(first, nothing, zeros)


def _lower(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered("<", left, right), left, right)


def _upper(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", left, right), left, right)


def _any_less(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    bits = ir.IntType(left.type.count)
    less = builder.bitcast(builder.fcmp_ordered("<", left, right), bits)
    return builder.icmp_unsigned("!=", less, ir.Constant(bits, 0))


def _largest(builder: ir.IRBuilder, lanes: ir.Value) -> ir.Value:
    width = lanes.type.count
    half = width // 2
    while half:
        others = ir.Constant(ir.VectorType(_INT32, width), [lane ^ half for lane in range(width)])
        lanes = _upper(builder, lanes, builder.shuffle_vector(lanes, lanes, others))
        half //= 2
    return builder.extract_element(lanes, ir.Constant(_INT32, 0))


def _tagged(builder: ir.IRBuilder, lanes: ir.Value, tag: ir.Value, mask: ir.Value) -> ir.Value:
    width = lanes.type.count
    bits = builder.bitcast(lanes, ir.VectorType(_INT64, width))
    kept = builder.and_(bits, builder.not_(_spread(builder, mask, width)))
    return builder.bitcast(builder.or_(kept, _spread(builder, tag, width)), lanes.type)


def _same(lanes: Lanes, *_: Any) -> Lanes:
    return lanes


load_four: Final[Any] = _loader(FOUR)
"""``load_four(array, at)``: four float64 of an array's memory, from an element on."""
load_eight: Final[Any] = _loader(EIGHT)
"""``load_eight(array, at)``: eight of them. Nothing checks that they lie inside the array."""
store: Final[Any] = _inline(lambda *_: types.void, _store)
"""``store(array, at, lanes)``: write to an array's memory, from an element on, unchecked."""
eight: Final[Any] = _inline(
    lambda *_: EIGHT, lambda builder, value: _spread(builder, value, EIGHT.width)
)
"""``eight(value)``: the same float64 eight times."""
plus: Final[Any] = _inline(
    _same, lambda builder, left, right: builder.fadd(left, right, flags=("contract",))
)
"""``plus(left, right)``: sums; a product that is added may be rounded together with the sum."""
minus: Final[Any] = _inline(_same, lambda builder, left, right: builder.fsub(left, right))
"""``minus(left, right)``: differences."""
times: Final[Any] = _inline(
    _same, lambda builder, left, right: builder.fmul(left, right, flags=("contract",))
)
"""``times(left, right)``: products."""
lower: Final[Any] = _inline(_same, _lower)
"""``lower(left, right)``: the smaller of each two."""
upper: Final[Any] = _inline(_same, _upper)
"""``upper(left, right)``: the larger of each two."""
any_less: Final[Any] = _inline(lambda *_: types.boolean, _any_less)
"""``any_less(left, right)``: whether any of ``left`` is less than its counterpart."""
largest: Final[Any] = _inline(lambda *_: types.float64, _largest)
"""``largest(lanes)``: the largest of all."""
tagged: Final[Any] = _inline(_same, _tagged)
"""``tagged(lanes, tag, mask)``: the bits of a mask replaced by those of a whole number."""
