"""Money never passes through a float. The rule, for every module of `cost/`:

* no literal is a float (`0.5`, `1e9`) or complex;
* the name `float` does not occur: no call, no annotation, no `isinstance`;
* `/` divides by `NANO` alone, which is a `Decimal`, so that the quotient is one too (a path joined to a text is none);
* nothing is taken from `math` but `isfinite`, which answers a question.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hfrouter.cost

ROOM = Path(hfrouter.cost.__path__[0])


def floats_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float() | complex()):
                yield ast.unparse(node)
            case ast.Name(id="float"):
                yield "float"
            case ast.BinOp(op=ast.Div(), right=ast.Name(id="NANO") | ast.Constant(value=str())):
                pass
            case ast.BinOp(op=ast.Div()):
                yield ast.unparse(node)
            case ast.AugAssign(op=ast.Div()):
                yield ast.unparse(node)
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if name != "isfinite":
                yield f"math.{name}"


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_no_float_is_in_the_cost_room(path: Path) -> None:
    assert list(floats_in(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source", ["x = 0.5", "x = 1e9", "float(x)", "x / 2", "x /= NANO", "math.floor(x)", "x: float"]
)
def test_the_rule_finds_a_float(source: str) -> None:
    assert list(floats_in(source))
