"""Free text from the request itself: quotes the given text, does plain arithmetic, or says what was asked."""
# ruff: noqa: RUF001 - typographic quotes, dashes and signs are what people write

import ast
import operator
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import Any

from hfrouter.simulator import language

_LABELLED = re.compile(
    r"(?is)(?:^|\n)\s*(?:the )?(?:context|document|documents|text|passage|article|source|sources)\b[^\n:]{0,60}:\s*"
    r"(?P<source>.+?)\n\s*(?:user )?(?:question|query|task|instruction)\s*:\s*(?P<question>.+?)"
    r"(?:\n\s*(?:answer|response|helpful answer)\s*:?\s*)?$"
)
_LABELLED_LAST = re.compile(
    r"(?is)(?:^|\n)\s*(?:user )?(?:question|query|task|instruction)\s*:\s*(?P<question>.+?)\n\s*"
    r"(?:context|document|documents|text|passage|article|source|sources)\b[^\n:]{0,60}:\s*(?P<source>.+?)"
    r"(?:\n\s*(?:answer|response)\s*:?\s*)?$"
)
_INLINE = re.compile(
    r"(?is)^\s*context\s*:\s*(?P<source>.+?)\s+question\s*:\s*(?P<question>.+?)(?:\s+answer\s*:?\s*)?$"
)
_FENCED = re.compile(r"(?s)(?:^|\n)-{5,}\n(?P<source>.+?)\n-{5,}(?:\n|$)")
_TAGGED = re.compile(r"(?s)<(?P<tag>context|document|documents|text|passage|article|source)>(?P<source>.+?)</(?P=tag)>")
_QUOTED = re.compile(r'(?s)"""(?P<a>.+?)"""|```\w*\n(?P<b>.+?)```|"(?P<c>[^"]{40,})"|“(?P<d>[^”]{40,})”')
_QUESTION = re.compile(r"(?is)(?:^|\n)\s*(?:question|query)\s*:\s*(?P<question>.+?)(?:\n\s*answer\s*:?\s*)?$")
_BLOCK = re.compile(
    r"(?is)(?:context|documents?|passages?|articles?|following (?:text|information|notes)|knowledge base|notes)\b"
    r"[^\n]{0,160}?[:\n]\s*(?P<source>.+)$"
)
_ECHO = re.compile(
    r"(?is)^\s*(?:please\s+)?(?:repeat|say|echo|output|print|(?:reply|answer|respond) with)"
    r"(?:\s+(?:exactly|only|just|the|this|these|following|words?|text|sentence|after me|back))*\s*(?::\s*|(?=[\"“'‘]))"
    r"(?P<text>.+?)\s*$"
)
_COUNT = re.compile(
    r"(?i)\bcount (?:up )?(?:from )?(-?\d{1,9}) ?(?:to|-|–) ?(-?\d{1,9})\b|\bcount (?:up )?to (\d{1,9})\b"
)
_LONGEST_COUNT = 10_000  # numbers
_SUMMARY = re.compile(r"(?i)\b(summari[sz]e|summary|tl;?dr|shorten|condense|main points?|key points?)\b")
_IN_SENTENCES = re.compile(r"(?i)\b(?:in|exactly)?\s*(one|two|three|four|five|\d)\s+sentences?\b")
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_INSTRUCTION = re.compile(
    r"(?i)^\s*(?:please|answer|extract|return|use|write|summari[sz]e|translate|give|tell|list|explain|describe|find|"
    r"respond|reply|call|you are|you're|do not|don't|be (?:brief|concise)|hello|hi|hey|thanks|thank you|now|using|"
    r"given|classify|create|generate|make|only|include|in (?:one|two|three) sentences?)\b"
)
_SUM = re.compile(r"(?<![\w.])[-(\s]*\d[\d\s.,()+\-*/×÷^%]*[-+*/×÷^][\d\s.()+\-*/×÷^]*\d[)\s]*")
_SPOKEN = (
    ("multiplied by", "*"),
    ("divided by", "/"),
    ("plus", "+"),
    ("minus", "-"),
    ("times", "*"),
    ("over", "/"),
)
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}

_LONGEST_SUM = 500  # characters: a longer prompt is no plain question, and the search is not linear

_LONGEST_LEAD = 120  # characters of an order before the colon

NOTHING = "The given text does not say."


def answer(prompt: str, system: str, earlier: Sequence[str]) -> str:
    """Answer a prompt from what the request holds.

    Args:
        prompt: The last user message.
        system: All system messages, where a context may stand.
        earlier: What the user said before.

    Returns:
        A text that is never empty.
    """
    if (echo := _ECHO.match(prompt)) is not None:
        return echo["text"].strip("\"“”'‘’") or echo["text"]
    if (counted := _counted(prompt)) is not None:
        return counted
    source, question = split_source(prompt, system)
    if source and (found := read(source, question)):
        return found
    if (result := arithmetic(question or prompt)) is not None:
        return result
    if (recalled := _recalled(question, earlier)) is not None:
        return recalled
    return NOTHING if source else _restated(prompt)


def read(source: str, question: str) -> str:
    """Return the sentences of `source` that fit the question best, or a summary when one is asked for; may be empty."""
    candidates = language.sentences(source)
    if _SUMMARY.search(question):
        asked = _IN_SENTENCES.search(question)
        limit = _NUMBERS.get(asked[1].lower()) or int(asked[1]) if asked else 2
        return language.join(language.summary(candidates, limit))
    return language.join(language.best(candidates, question))


def split_source(prompt: str, system: str = "") -> tuple[str, str]:
    """Tell the given text from the question about it. The text is empty when there is none."""
    if (marked := marked_source(prompt)) is not None:
        return marked
    pieces = language.sentences(prompt)
    stated = [p for p in pieces if not p.endswith(("?", "？", ":")) and not _INSTRUCTION.match(p)]
    asked_for = [p for p in pieces if p not in stated]
    if stated and asked_for:
        return "\n".join(stated), language.join(asked_for)
    block = _BLOCK.search(system)
    if block is not None and language.sentences(block["source"]):
        return _unfenced(block["source"]), prompt
    return "", prompt


def marked_source(prompt: str) -> tuple[str, str] | None:
    """Return a text that is set off by labels, rules, tags or quotes, and the question; None when there is none."""
    for pattern in (_LABELLED, _LABELLED_LAST, _INLINE):
        if (match := pattern.search(prompt)) is not None:
            return _unfenced(match["source"]), match["question"].strip()
    for pattern in (_FENCED, _TAGGED, _QUOTED):
        if (match := pattern.search(prompt)) is not None:
            source = next(value for key, value in match.groupdict().items() if value and key != "tag")
            rest = prompt[: match.start()] + "\n" + prompt[match.end() :]
            asked = _QUESTION.search(rest)
            return source.strip(), asked["question"].strip() if asked else rest.strip()
    return None


def without_instruction(prompt: str) -> str:
    """Return a prompt without the order that introduces its text (`Extract the person: ...`) and talk of JSON."""
    lead, colon, rest = prompt.partition(":")
    if colon and rest.strip() and len(lead) < _LONGEST_LEAD and _INSTRUCTION.match(lead) and "." not in lead:
        prompt = rest.strip()
    pieces = language.sentences(prompt)
    kept = [piece for piece in pieces if not re.search(r"\bJSON\b|\bschema\b", piece, re.I)]
    return prompt if len(kept) == len(pieces) else "\n".join(kept)


def arithmetic(text: str) -> str | None:
    """Return the value of the plain arithmetic in a text (`17 * 23`, `2 plus 3`), or None when there is none."""
    if len(text) > _LONGEST_SUM:
        return None
    spoken = text.lower()
    for word, sign in _SPOKEN:
        spoken = re.sub(rf"(?<=\d)\s+{word}\s+(?=[\d(])", f" {sign} ", spoken)
    match = _SUM.search(spoken)
    if match is None:
        return None
    expression = match[0].strip().replace("×", "*").replace("÷", "/").replace("^", "**").replace(",", "")
    try:
        value = _evaluate(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, DivisionByZero, InvalidOperation, RecursionError):
        return None
    shown = f"{value.normalize():f}" if value == value.to_integral_value() else f"{value:.6g}"
    return f"{match[0].strip()} = {shown}"


def topic(prompt: str) -> str:
    """Return what a request is about: the words after `about`, or its telling words."""
    match = re.search(r"(?i)\b(?:about|regarding|concerning|on the topic of)\s+([^.,;!?\n]+)", prompt)
    if match is not None:
        return match[1].strip()
    telling = [word for word in re.findall(r"\w+", prompt) if language.terms(word)]
    return " ".join(telling[:8]) or "nothing in particular"


def _evaluate(node: ast.AST) -> Decimal:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return Decimal(str(node.value))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return Decimal(_OPERATORS[type(node.op)](_evaluate(node.operand)))
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
        if isinstance(node.op, ast.Pow) and 0 <= right <= 64 and abs(left) <= 10**6:
            return left**right
        if type(node.op) in _OPERATORS:
            return Decimal(_OPERATORS[type(node.op)](left, right))
    raise ValueError("not plain arithmetic")


def _counted(prompt: str) -> str | None:
    match = _COUNT.search(prompt)
    if match is None:
        return None
    low, high = (1, int(match[3])) if match[3] else (int(match[1]), int(match[2]))
    step = 1 if low <= high else -1
    return " ".join(str(number) for number in range(low, high + step, step)[:_LONGEST_COUNT])


def _recalled(question: str, earlier: Sequence[str]) -> str | None:
    """Answer from what the user said before, when the question asks for it (`What is my name?`)."""
    said = [sentence for text in earlier for sentence in language.sentences(text) if not sentence.endswith("?")]
    if "?" not in question or not re.search(r"(?i)\b(my|i|me|we|our)\b", question):
        return None
    found = language.best(said, question, limit=1)
    return f"You said: {found[0]}" if found else None


def _restated(prompt: str) -> str:
    asked = re.sub(r"\s+", " ", prompt).strip()
    if not asked:
        return "You sent no text."
    shortened = asked if len(asked) <= 300 else asked[:300].rsplit(" ", 1)[0] + " …"
    return f"You asked: {shortened}" if shortened.endswith(("?", ".", "!", "…")) else f"You asked: {shortened}."


def _unfenced(source: str) -> str:
    return re.sub(r"(?m)^-{3,}\s*$", "", source).strip()
