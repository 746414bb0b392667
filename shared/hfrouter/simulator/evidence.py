"""What a text offers for a named value: labelled values, numbers, quoted strings, names, lists, yes or no."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hfrouter.simulator import language, patterns, vocabulary

_LONGEST = 8_000  # characters that are searched for values


@dataclass(frozen=True, slots=True)
class Hint:
    """What is known about the wanted value: the name of its field and its description."""

    name: str
    description: str = ""

    @property
    def words(self) -> list[str]:
        """The words of the field's name."""
        return language.words(self.name)

    @property
    def text(self) -> str:
        """Name and description as one text."""
        return f"{' '.join(self.words)} {self.description}"

    def mentions(self, vocabulary: Iterable[str]) -> bool:
        """Whether the name, or else the description, uses one of these words."""
        known = set(vocabulary)
        return bool(known & set(self.words)) or bool(known & set(language.words(self.description)))


class Evidence:
    """A text to take values from. A value that was taken is not offered again to another field.

    Args:
        text: The text that is searched first.
        wider: More text, searched when `text` offers nothing.
    """

    def __init__(self, text: str, wider: str = "") -> None:
        self.text = text[:_LONGEST]
        self.wider = wider[:_LONGEST]
        self._taken: set[str] = set()

    def labelled(self, hint: Hint) -> str | None:
        """Return what the text says this field is: `name: x`, `name = x`, `name is x`, `"name": "x"`."""
        label = r"[\s_-]*".join(re.escape(word) for word in hint.words)
        if not label:
            return None
        forms = (
            rf"(?i)[\"']?\b{label}\b[\"']?\s*[:=]\s*{patterns.VALUE}",
            rf"(?i)\b{label}\b\s+(?:is|of|named|called|to)\s+{patterns.VALUE}",
        )
        for form in forms:
            for match in re.finditer(form, self.text):
                found = next(group for group in match.groups() if group is not None).strip()
                if found and found.lower() not in vocabulary.NEVER_NAMES:
                    return found
        return None

    def number(self, hint: Hint) -> Decimal | None:
        """Return the number that fits best: labelled, with the field's unit, near its words, or the next unused one."""
        label = r"[\s_-]*".join(re.escape(word) for word in hint.words)
        for match in re.finditer(rf"(?i)\b{label}\b[\"']?\s*(?:[:=]|is|of|to)?\s*[$€£]?", self.text) if label else ():
            if (given := patterns.NUMBER.match(self.text, match.end())) is not None:
                return self._take_number(given[0])
        matches = [match for match in patterns.NUMBER.finditer(self.text) if match[0] not in self._taken]
        if not matches:
            return None
        unit = patterns.unit_of(hint.words)
        wanted = language.terms(hint.text, synonyms=True)

        def fit(match: re.Match[str]) -> float:
            before, after = self.text[max(0, match.start() - 40) : match.start()], self.text[match.end() :][:40]
            score = float(len(language.terms(before + " " + after) & wanted))
            if unit and (
                re.match(rf"\s*-?{unit}", after, re.I) or re.search(rf"{unit}\s*(?:of|at)?\s*$", before, re.I)
            ):
                score += 5
            if "year" in hint.words and re.fullmatch(r"(?:1[5-9]|20)\d\d", match[0]):
                score += 3
            return score

        return self._take_number(max(matches, key=fit)[0])

    def numbers(self) -> list[Decimal]:
        """Return all numbers, in order."""
        return [_decimal(match[0]) for match in patterns.NUMBER.finditer(self.text)]

    def string(self, hint: Hint) -> str | None:
        """Return a string that the text plainly offers for this field, or None."""
        for candidate in self._strings(hint):
            if candidate and candidate not in self._taken:
                self._taken.add(candidate)
                return candidate
        return None

    def _strings(self, hint: Hint) -> Iterable[str | None]:
        """Yield candidates, the most fitting first."""
        names = set(hint.words)
        for kind in patterns.FORMATS:
            if kind in names or (kind in ("email", "url", "phone") and hint.mentions([kind])):
                yield self.format(kind)
        yield self.labelled(hint)
        if hint.mentions(vocabulary.ROLE_FIELDS):
            yield _first(patterns.ROLE, self.text, group=1)
        if hint.mentions(vocabulary.CODE_FIELDS):
            yield _first(patterns.CODE, self.text)
        a_name = bool(names & vocabulary.NAME_FIELDS)
        if names & vocabulary.PLACE_FIELDS or (not a_name and hint.mentions(vocabulary.PLACE_FIELDS)):
            yield from self.places() or self.names()
        elif names & vocabulary.ASIDE_FIELDS:
            yield self.aside()
        elif names & vocabulary.WHOLE_FIELDS and not a_name:
            yield from self.quoted()
            yield self.request()
        elif hint.mentions(("expression", "formula", "equation")):
            yield _first(patterns.EXPRESSION, self.text)
        else:
            yield from self.quoted()
            yield from self.names()

    def quoted(self) -> list[str]:
        """Return the quoted strings, in order."""
        return [next(g for g in match.groups() if g is not None) for match in patterns.QUOTED.finditer(self.text)]

    def names(self) -> list[str]:
        """Return the capitalised names, in order; single words that merely start a sentence come last."""
        sure: list[str] = []
        doubtful: list[str] = []
        for match in patterns.NAME.finditer(self.text):
            name = match[0].strip()
            first, _, rest = name.partition(" ")
            before = self.text[max(0, match.start() - 8) : match.start()]
            starts = match.start() == 0 or patterns.SENTENCE_START.search(before) is not None
            starts = starts and patterns.SUBJECT.match(self.text, match.end() - 1) is None
            if first.lower() in vocabulary.NEVER_NAMES:
                name, starts = rest, False
            name = patterns.POSSESSIVE_OR_STOP.sub("", name.strip())
            if len(name) > 1 and name.lower() not in vocabulary.NEVER_NAMES:
                (doubtful if starts and " " not in name else sure).append(name)
        return list(dict.fromkeys([*sure, *doubtful]))

    def places(self) -> list[str]:
        """Return the names after `in`, `for`, `at` …, and the further ones of a list (`Paris, Rome and Oslo`)."""
        found: list[str] = []
        for match in patterns.PLACE.finditer(self.text):
            tail = self.text[match.end() :]
            place = match[1].strip().rstrip(".'")
            listed = patterns.LIST_GOES_ON.match(tail) and not re.search(r",\s?[A-Z]{2}$", place)
            found += [part.strip() for part in place.split(",")] if listed else [place]
            while (more := patterns.NEXT_PLACE.match(tail)) is not None:
                found.append(more[1])
                tail = tail[more.end() :]
        return list(dict.fromkeys(found))

    def aside(self) -> str | None:
        """Return the remark after a dash, or else in brackets."""
        match = patterns.ASIDE.search(self.text)
        return (match[1] or match[2]).strip() if match else None

    def request(self) -> str | None:
        """Return the request itself, without leading courtesies."""
        return patterns.COURTESY.sub("", self.text.strip()).rstrip(" ?.!") or None

    def sentence(self, hint: Hint) -> str | None:
        """Return the sentence that fits the field's name and description best."""
        found = language.best(language.sentences(self.text), hint.text, limit=1)
        if not found or found[0] in self._taken:
            return None
        self._taken.add(found[0])
        return found[0]

    def items(self, hint: Hint) -> list[str]:
        """Return a list the text gives for this field: bullets, the words after the field's verb, quotes, or names."""
        if bullets := patterns.BULLET.findall(self.text):
            return list(bullets)
        pieces = language.sentences(self.text)
        label = "[ _-]*".join(re.escape(word) for word in hint.words)
        labelled = re.search(rf"(?i)\b{label}\b\s*(?:are|is|include|includes|:|=)\s*([^.!?\n]+)", self.text)
        if labelled is not None:
            return _enumerated(labelled[1])
        for piece in language.best(pieces, hint.text, limit=1) or pieces:
            listed = _enumerated(piece)
            if len(listed) > 1:
                return listed
        return self.quoted() or self.names()

    def flag(self, hint: Hint) -> bool | None:
        """Return whether the text affirms the field; None when it does not speak of it."""
        labelled = self.labelled(hint)
        if labelled is not None and labelled.lower() in ("true", "false", "yes", "no"):
            return labelled.lower() in ("true", "yes")
        wanted = {term for term in language.terms(" ".join(hint.words), synonyms=True) if len(term) > 1}
        for piece in language.sentences(self.text):
            if language.terms(piece) & wanted:
                return patterns.NEGATION.search(piece) is None
        return None

    def option(self, options: Sequence[str]) -> str | None:
        """Return the option the text names first, else the one that shares words with it, else None."""
        for text in (self.text, self.wider):
            named = [found for option in options if (found := _mention(option, text)) is not None]
            if named:
                return min(named)[2]
        sentiment = _sentiment(self.text)
        if sentiment in {option.lower() for option in options}:
            return next(option for option in options if option.lower() == sentiment)
        said = language.terms(self.text, synonyms=True)
        shared, option = max(((len(language.terms(each) & said), each) for each in options), default=(0, ""))
        return option if shared else None

    def format(self, kind: str) -> str | None:
        """Return the first string of a JSON schema format such as `email` or `date`."""
        pattern = patterns.FORMATS.get(kind)
        return _first(pattern, self.text) if pattern else None

    def _take_number(self, spelled: str) -> Decimal:
        self._taken.add(spelled)
        return _decimal(spelled)


def _first(pattern: re.Pattern[str], text: str, group: int = 0) -> str | None:
    match = pattern.search(text)
    return match[group].strip() if match else None


def _mention(option: str, text: str) -> tuple[int, int, str] | None:
    """Return where a text names an option, so that the earliest and then the longest one sorts first."""
    spelled = f"{re.escape(option)}|{re.escape(option.replace('_', ' '))}"
    match = re.search(rf"(?i)(?<!\w)(?:{spelled})(?!\w)", text)
    return (match.start(), -len(option), option) if match else None


def _decimal(spelled: str) -> Decimal:
    return Decimal(spelled.replace(",", "").replace(patterns.MINUS, "-"))


def _enumerated(text: str) -> list[str]:
    """Split `likes tea, coffee and cocoa.` into its items; the words before the list are dropped from the first."""
    parts = [part.strip(" .!?;:'\"") for part in re.split(r",\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+|;\s*", text)]
    parts = [part for part in parts if part]
    if len(parts) > 1:
        size = len(parts[1].split())
        lead = parts[0].split(": ")[-1].split()
        parts[0] = " ".join(lead[-max(1, min(size, len(lead))) :])
    return parts


def _sentiment(text: str) -> str:
    found = language.words(text)
    balance = sum(word in vocabulary.GOOD for word in found) - sum(word in vocabulary.BAD for word in found)
    return "positive" if balance > 0 else "negative" if balance < 0 else "neutral"
