"""The patterns that find values in a text. Capital letters are those of the Latin-1 range."""
# ruff: noqa: RUF001 - typographic quotes, dashes and signs are what people write

import re

_UPPER = "A-ZÀ-ÖØ-Þ"
_CAPITALISED = rf"[{_UPPER}][\w’'-]*"
_PARTICLE = rf"(?:[ \t]+(?:of|de|la|van|von|the|del|der)(?=[ \t]+[{_UPPER}]))?"

QUOTED = re.compile(
    r"\"([^\"\n]{1,400})\"|“([^”\n]{1,400})”|‘([^’\n]{1,400})’|(?<!\w)'([^'\n]{1,400})'(?!\w)"
    r"|`([^`\n]{1,400})`|「([^」\n]{1,400})」"
)
NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3}){1,9}|\d{1,30})(?:\.\d{1,30})?(?![\w]*\d)")
NAME = re.compile(rf"(?<![\w'])(?:{_CAPITALISED}\.?{_PARTICLE}[ \t]?){{1,5}}")
PLACE = re.compile(
    r"\b(?:in|for|at|of|to|from|near|around|on|about)\s+(?:the\s+(?:city\s+of\s+|town\s+of\s+)?)?"
    rf"((?:(?:St\.|Mt\.|{_CAPITALISED}){_PARTICLE}[ \t]?)+(?:,\s?[{_UPPER}]\w*(?:[ \t][{_UPPER}]\w*)*)?)"
)
NEXT_PLACE = re.compile(rf"\s*(?:,\s*(?:and|or)?|and|or)\s+(?:in\s+|for\s+|at\s+)?({_CAPITALISED}(?: {_CAPITALISED})*)")
LIST_GOES_ON = re.compile(rf"\s*(?:,|and\b|or\b)\s*[{_UPPER}]")
POSSESSIVE_OR_STOP = re.compile(r"(?:['’]s|\.)$")
SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|\n\s*)$")
SUBJECT = re.compile(r".?\s*\b(?:is|was|has|had|lives?|lived|works?|worked|wrote|likes?|said|will|can)\b")
ROLE = re.compile(
    r"(?i)\b(?:works? as|working as|is|job is|occupation is)\s+(?:an?|the)\s+([a-z][\w -]*?)"
    r"(?=\s+(?:at|in|for|from|who|and|living|with)\b|[.,;]|$)"
)
ASIDE = re.compile(r"\s[-–—]\s+(.+?)[.\s]*$|\(([^)]+)\)", re.S)
COURTESY = re.compile(r"(?i)^(?:please|can you|could you|search (?:the \w+ )?for|look up|find out|find|tell me)\s+")
CODE = re.compile(r"\b(?:[A-Z]{2,5}|[A-Z][a-z]+/[A-Z]\w+|celsius|fahrenheit|metric|imperial)\b")
EXPRESSION = re.compile(r"[\d(][\d\s.()+\-*/^]*[\d)]")
BULLET = re.compile(r"(?m)^\s*(?:[-*•]|\d+[.)])\s+(.+?)\s*$")
NEGATION = re.compile(r"(?i)\b(?:no|not|never|without|isn't|aren't|doesn't|don't|didn't|cannot|can't|wasn't|lacks?)\b")
MINUS = "−"

_PIECE = r"[^\s,;.!?(){}\"'@:/-]+"
VALUE = (
    rf"(?:\"([^\"\n]+)\"|'([^'\n]+)'|([-@/]?{_PIECE}(?:[ .@:/-]{{1,3}}{_PIECE})*?))"
    r"(?=\s*(?:[,;!?)}\n]|\.\s|\.$|$|\band\b|\bwith\b|\bfor\b))"
)
"""What may follow a label, up to the end of its clause; quoted or not."""

FORMATS = {
    "email": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w"),
    "uri": re.compile(r"https?://[^\s\"'<>)]+"),
    "url": re.compile(r"https?://[^\s\"'<>)]+"),
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "time": re.compile(r"\b\d{1,2}:\d\d(?::\d\d)?\b"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "ipv4": re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    "phone": re.compile(r"\+?\d[\d ()-]{6,}\d"),
}
UNITS = {
    "age": r"(?:years?[ -]old|years? of age|aged?|yo)\b",
    "price": r"(?:[$€£]|USD|EUR|dollars?|euros?|cents?)",
    "temperature": r"(?:°|degrees|celsius|fahrenheit)",
    "rating": r"(?:stars?|out of|/\s?\d)",
    "percent": r"(?:%|percent)",
    "duration": r"(?:seconds?|minutes?|hours?|days?|weeks?)\b",
    "distance": r"(?:km|kilomet|miles?|met(?:er|re)s?|m\b)",
}
"""What stands beside a number of each kind."""


def unit_of(words: list[str]) -> str | None:
    """Return the pattern of the unit that the words of a field's name call for."""
    kinds = {
        "cost": "price",
        "amount": "price",
        "stars": "rating",
        "score": "rating",
        "celsius": "temperature",
        "height": "distance",
        "days": "duration",
        "percentage": "percent",
    }
    return next((UNITS[kind] for kind in (kinds.get(word, word) for word in words) if kind in UNITS), None)
