"""Small wrong changes to a module, one at a time: what a test suite should notice."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_ORDERS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_SUMS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}

Change = Callable[[ast.AST], None]


@dataclass(frozen=True)
class Mutant:
    """One change to one module.

    Attributes:
        place: Of the changed node among the module's nodes.
        turn: Which of the changes that fit the node.
        line: Where.
        what: Before and after, for readers.
    """

    place: int
    turn: int
    line: int
    what: str


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a module."""
    for place, node in enumerate(_nodes(ast.parse(source))):
        for turn, (what, _) in enumerate(_changes(node)):
            yield Mutant(place, turn, getattr(node, "lineno", 0), what)


def mutated(source: str, mutant: Mutant) -> ast.Module:
    """The module with one change."""
    tree = ast.parse(source)
    node = list(_nodes(tree))[mutant.place]
    _, change = list(_changes(node))[mutant.turn]
    change(node)
    return ast.fix_missing_locations(tree)


def _nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that may change: no annotation, docstring, decorator, import, or declaration for type checkers."""
    waiting: list[ast.AST] = [node for node in tree.body if not _is_docstring(node) and not _is_beside(node)]
    while waiting:
        node = waiting.pop(0)
        yield node
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
                continue
            children = value if isinstance(value, list) else [value]
            if name == "body" and children and _is_docstring(children[0]):
                children = children[1:]
            waiting += [child for child in children if isinstance(child, ast.AST) and not _is_beside(child)]


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_beside(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in {"strict", "repr", "compare"}
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return isinstance(node.value, ast.Subscript) and node.targets[0].id[0].isupper()  # a type's name
    alias = isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"
    return alias or isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr))


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in _ORDERS:
            for other in _ORDERS[type(op)]:
                yield _told(node, _set("ops", [other()]))
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _SUMS:
            yield _told(node, _set("op", _SUMS[type(node.op)]()))
        case ast.BoolOp():
            for place in range(len(node.values)):
                yield _told(node, _without(place))
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield _told(node, _set("op", ast.UAdd()) if isinstance(node.op, ast.USub) else _twice_not)
        case ast.Constant(value=bool(value)):
            yield _told(node, _set("value", not value))
        case ast.Constant(value=int(number) | float(number)):
            yield _told(node, _set("value", number + 1))
        case ast.Constant(value=str(text)) if text:
            yield _told(node, _set("value", text + "?"))
        case ast.Name(id=name) if name in _NAMES:
            yield _told(node, _set("id", _NAMES[name]))
        case ast.Return(value=ast.expr(end_lineno=_)) if not _is_none(node.value):
            yield _told(node, _set("value", ast.Constant(None)))
        case ast.If() | ast.IfExp() | ast.While():
            yield f"{ast.unparse(node.test)} -> not", _negate("test")
        case ast.match_case(guard=ast.expr()):
            yield f"case ... if {ast.unparse(node.guard or ast.Constant(None))} -> not", _negate("guard")
    yield from _removals(node)


def _removals(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """Statements of a body that are left out."""
    for name in ("body", "orelse", "finalbody"):
        statements = getattr(node, name, None)
        if isinstance(node, ast.ClassDef) or not isinstance(statements, list):
            continue
        for place, statement in enumerate(statements):
            call = isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Call, ast.Yield, ast.YieldFrom))
            effect = isinstance(statement, (ast.Assign, ast.AugAssign)) and isinstance(
                statement.targets[0] if isinstance(statement, ast.Assign) else statement.target,
                (ast.Attribute, ast.Subscript),
            )
            if call or effect:
                yield f"{_short(ast.unparse(statement))} -> pass", _pass(name, place)


def _told(node: ast.AST, change: Change) -> tuple[str, Change]:
    after = copy.deepcopy(node)
    change(after)
    return f"{_short(ast.unparse(node))} -> {_short(ast.unparse(after))}", change


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 70 else f"{text[:67]}..."


def _is_none(node: ast.AST | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _set(name: str, value: object) -> Change:
    return lambda node: setattr(node, name, value)


def _without(place: int) -> Change:
    return lambda node: node.values.pop(place)  # type: ignore[attr-defined]


def _twice_not(node: ast.AST) -> None:
    assert isinstance(node, ast.UnaryOp)
    node.operand = ast.UnaryOp(ast.Not(), node.operand)


def _negate(name: str) -> Change:
    return lambda node: setattr(node, name, ast.UnaryOp(ast.Not(), getattr(node, name)))


def _pass(name: str, place: int) -> Change:
    def change(node: ast.AST) -> None:
        getattr(node, name)[place] = ast.Pass()

    return change
