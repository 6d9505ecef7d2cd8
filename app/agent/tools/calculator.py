"""Arithmetic, within bounds: the tool `calculator`.

Rules: an expression knows numbers, operators, the functions and constants below, and nothing else: no names, no
attributes, no texts, no lists. What an operation would give is estimated before, where it could be huge, and measured
after. So no expression of 500 characters takes more than some milliseconds.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from simpleeval import InvalidExpression, SimpleEval

from app.agent.tools.tool import ToolError, tool

LENGTH: Final = 500
BITS: Final = 4096  # of a whole number
FACTORIAL: Final = 500
DIGITS: Final = 300  # that `round` keeps or drops

Number = int | float
Expression = Annotated[str, msgspec.Meta(min_length=1, max_length=LENGTH, description="As 2 * (3 + sqrt(16)) ** 2")]


@tool(idempotent=True)
async def calculator(expression: Expression) -> Number:
    """Calculate an arithmetic expression: + - * / // % **, round min max abs sqrt exp log sin cos …, pi, e."""
    return calculated(expression)


def calculated(expression: str) -> Number:
    """Evaluate an expression.

    Raises:
        ToolError: it is none, knows something else, or is too large; the message says which.
    """
    if len(expression) > LENGTH:
        raise ToolError(f"an expression has at most {LENGTH} characters, not {len(expression)}")
    evaluator = SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names=dict(NAMES))
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in KINDS} | {ast.Constant: _constant}
    try:
        parsed = ast.parse(expression.strip(), mode="eval").body
        return _held(evaluator.eval(expression, previously_parsed=parsed))
    except (RecursionError, MemoryError) as error:
        raise ToolError("the expression is nested too deeply") from error
    except SyntaxError as error:
        raise ToolError(f"not an expression: {error.msg}") from error
    except ZeroDivisionError as error:
        raise ToolError("a division by zero") from error
    except OverflowError as error:
        raise ToolError("the result is too large") from error
    except InvalidExpression as error:
        known = ", ".join((*FUNCTIONS, *NAMES))
        raise ToolError(f"only numbers, + - * / // % ** and these are known: {known}") from error
    except (ValueError, TypeError) as error:
        raise ToolError(f"it cannot be calculated: {error}") from error


def _constant(node: ast.Constant) -> Number:
    return _held(node.value)


def _held(value: Any) -> Number:
    """A number that is within bounds."""
    if type(value) is int and value.bit_length() <= BITS:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) in (int, float):
        raise ToolError("a number is too large")
    raise ToolError(f"expected real numbers, got {'a ' + type(value).__name__}")


def _all_bounded(functions: Mapping[Any, Callable[..., Any]]) -> dict[Any, Callable[..., Number]]:
    """Functions of numbers, with results that are within bounds."""

    def bounded(function: Callable[..., Any], *given: Any) -> Number:
        return _held(function(*map(_held, given)))

    return {name: partial(bounded, function) for name, function in functions.items()}


def _power(base: Number, exponent: Number) -> Any:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and (int(base).bit_length() - 1) * exponent > BITS:
        raise ToolError("a power is too large")
    return base**exponent


def _factorial(of: Number) -> int:
    if of > FACTORIAL:
        raise ToolError(f"a factorial is of at most {FACTORIAL}")
    return math.factorial(of)  # type: ignore[arg-type]  # of another than a whole number it raises


def _round(value: Number, digits: Number = 0) -> Number:
    if abs(digits) > DIGITS:
        raise ToolError(f"rounded is to at most {DIGITS} digits")
    return round(value, int(digits)) if digits else round(value)


KINDS: Final = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Name)
OPERATORS: Final = _all_bounded(
    {
        ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
        ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: _power, ast.USub: operator.neg,
        ast.UAdd: operator.pos,
    }
)  # fmt: skip
FUNCTIONS: Final = _all_bounded(
    {
        "abs": abs, "round": _round, "min": min, "max": max, "floor": math.floor, "ceil": math.ceil,
        "trunc": math.trunc, "sqrt": math.sqrt, "cbrt": math.cbrt, "pow": _power, "exp": math.exp, "log": math.log,
        "log2": math.log2, "log10": math.log10, "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin,
        "acos": math.acos, "atan": math.atan, "atan2": math.atan2, "sinh": math.sinh, "cosh": math.cosh,
        "tanh": math.tanh, "degrees": math.degrees, "radians": math.radians, "hypot": math.hypot, "gcd": math.gcd,
        "lcm": math.lcm, "factorial": _factorial,
    }
)  # fmt: skip
NAMES: Final = {"pi": math.pi, "e": math.e, "tau": math.tau}
