"""Health: what this process has seen of each target, and whom it therefore asks, waits for or leaves alone.

Everything here outlasts a call and is shared by all calls of a router. It holds no clock: times are monotonic seconds
and are passed in. Failures are taken down by scope, never by number alone: a 402 speaks about the account, a lost line
to the router about the endpoint, and neither may open the breakers of a dozen providers.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from hfrouter.routing.breaker import Breaker
from hfrouter.routing.buckets import FallbackBudget, HedgeBudget, Throttle
from hfrouter.routing.eligible import Needs
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import Judgement, Scope, Verdict
from hfrouter.routing.vitals import Held, Hold, Vitals

# An account without credits, or a token that was refused: nobody else on it is asked for 5 min (design).
_SHUT = {Scope.ACCOUNT: 300.0, Scope.CREDENTIAL: 300.0}
# A model that is not served, a provider that is not enabled, a parameter that is not supported: 10 min.
_NOT_SERVED = 600.0
_TOO_LONG = 3600.0
# Growing pause after 429: 1 s, doubling to 60 s, or what the provider asks, at most an hour.
_PAUSE, _LONGEST_PAUSE, _LONGEST_ASKED = 1.0, 60.0, 3600.0
_COLD = 5.0
# A session keeps its provider while it is used at least every 10 min (prompt caches live about as long).
_SESSION_IDLE = 600.0
_MOST = 4096


class Chance(Protocol):
    """A source of chance, such as `random.Random`."""

    def random(self) -> float:
        """A number from 0 to 1."""


class Health:
    """The health of all targets of a router.

    Args:
        rng: For the spread of open times; seeded in tests.
        opened: Told of each breaker that opens, not of probes that fail: what it stands for, for how many seconds.
    """

    def __init__(self, rng: Chance, opened: Callable[[str, float], None] | None = None) -> None:
        self._rng, self._opened = rng, opened
        self._vitals: OrderedDict[tuple[str, str, str], Vitals] = OrderedDict()
        self._throttles: dict[str, Throttle] = {}
        self._endpoints: dict[str, Breaker] = {}
        self._shut: dict[tuple[Scope, str], tuple[float, str, float]] = {}  # until when, why, since when
        self._sessions: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self.fallbacks = FallbackBudget()
        self.hedges = HedgeBudget()

    def of(self, target: Target) -> Vitals:
        """What was seen of a target; the ones used longest ago are forgotten when there are thousands."""
        key = (target.model, target.provider, target.url)
        vitals = self._vitals.get(key)
        if vitals is None:
            vitals = self._vitals[key] = Vitals()
            if len(self._vitals) > _MOST:
                self._vitals.popitem(last=False)
        else:
            self._vitals.move_to_end(key)
        return vitals

    def throttle(self, provider: str) -> Throttle:
        """The retry throttle of a provider."""
        return self._throttles.setdefault(provider, Throttle())

    # -- who may be asked ----------------------------------------------------------------------------------------------

    def held(self, target: Target, vitals: Vitals, needs: Needs, now: float) -> Held | None:
        """Why a target should be left alone now, or None. Of several reasons, the one that lasts longest."""
        reasons: list[Held] = []
        if self._shut:
            for key in _keys(target):
                until, why, _ = self._shut.get(key, (0.0, "", 0.0))
                if until > now:
                    reasons.append(Held(Hold.SHUT, until, why))
        if vitals.absent > now:
            reasons.append(Held(Hold.SHUT, vitals.absent, vitals.absent_why))
        if vitals.lacks and (lack := self._lack(vitals, needs, now)):
            reasons.append(lack)
        if vitals.too_long and vitals.too_long[1] > now and _as_large(needs.size, vitals.too_long[0]):
            reasons.append(Held(Hold.SHUT, vitals.too_long[1], "a request of this size did not fit its context"))
        if vitals.paused > now:
            reasons.append(Held(Hold.PAUSED, vitals.paused, f"rate limited, {vitals.limits} in a row"))
        if vitals.cold > now:
            reasons.append(Held(Hold.COLD, vitals.cold, "loading"))
        if vitals.breaker.is_open and not vitals.breaker.admits(now):
            reasons.append(Held(Hold.OPEN, vitals.breaker.until, "breaker open"))
        if self._endpoints:
            endpoint = self._endpoints.get(target.url)
            if endpoint is not None and not endpoint.admits(now):
                reasons.append(Held(Hold.OPEN, endpoint.until, "endpoint out of reach"))
        return max(reasons, key=lambda held: held.until) if reasons else None

    @staticmethod
    def _lack(vitals: Vitals, needs: Needs, now: float) -> Held | None:
        for names, until in vitals.lacks.items():
            if until > now and names <= needs.parameters:
                return Held(Hold.SHUT, until, f"does not support {', '.join(sorted(names))}")
        return None

    # -- what happened -------------------------------------------------------------------------------------------------

    def launched(self, target: Target, now: float, *, streamed: bool = True) -> bool:
        """An attempt goes out.

        Args:
            target: Where to.
            now: Monotonic seconds.
            streamed: Its first content can be seen, so that its silence means something.

        Returns:
            Whether it is the probe of an open breaker, which `answered`, `failed` and `released` must be told.
        """
        vitals = self.of(target)
        vitals.running += 1
        if streamed:
            vitals.silent.append(now)
        probe = vitals.breaker.is_open
        vitals.breaker.probing |= probe
        endpoint = self._endpoints.get(target.url)
        if endpoint is not None and endpoint.is_open:
            endpoint.probing = True
        return probe

    def began(self, target: Target) -> None:
        """An attempt shows its first content: the target is alive, so that the silence of others there is chance."""
        self.of(target).silent.clear()

    def released(self, target: Target, launched: float, *, probe: bool) -> None:
        """An attempt ended that says nothing of its target: cancelled, or refused by a budget."""
        vitals = self.of(target)
        vitals.gone(launched)
        if probe:
            vitals.breaker.released()
        if (endpoint := self._endpoints.get(target.url)) is not None:
            endpoint.released()

    def outrun(self, target: Target, launched: float, now: float, *, probe: bool) -> None:
        """An attempt lost to its hedge: it was silent for longer than is usual there, which counts as a failure."""
        vitals = self.of(target)
        vitals.gone(launched)
        self._count(vitals.breaker, target.id, now, probe=probe)
        vitals.speed.at_least(now - launched, now)

    def answered(
        self,
        target: Target,
        launched: float,
        now: float,
        *,
        probe: bool,
        first_content: float | None = None,
        seconds: float = 0.0,
        output_tokens: int | None = None,
        open_: bool = False,
    ) -> None:
        """An attempt answered, or committed a stream.

        Args:
            target: Who.
            launched: When, in monotonic seconds.
            now: Monotonic seconds.
            probe: What `launched` returned.
            first_content: Seconds from the launch to the first content, where it was seen.
            seconds: From the launch to now.
            output_tokens: Of the whole answer.
            open_: The rest is still coming; `ended` follows.
        """
        vitals = self.of(target)
        if not open_:
            vitals.gone(launched)
        vitals.silent.clear()
        vitals.breaker.succeeded(now, probe=probe)
        if (endpoint := self._endpoints.get(target.url)) is not None:
            endpoint.succeeded(now, probe=True)
        vitals.answered, vitals.cold, vitals.absent, vitals.excused = now, 0.0, 0.0, False
        if now >= vitals.paused:  # one that was sent before the 429 does not end its pause
            vitals.limits = 0
        if self._shut:
            self._reopen(target, launched)
        self.throttle(target.provider).answered()
        vitals.speed.answered(now)
        if first_content is not None:
            vitals.ring.append(first_content)
            vitals.speed.first_content(first_content, now)
            if output_tokens:
                vitals.speed.decoded(output_tokens, seconds - first_content, now)
        elif output_tokens and not open_:
            vitals.speed.whole(seconds, output_tokens, target.throughput, now)

    def _reopen(self, target: Target, launched: float) -> None:
        """What was shut before an attempt that answered is shut no longer."""
        for key in _keys(target):
            if key in self._shut and self._shut[key][2] <= launched:
                del self._shut[key]

    def ended(
        self,
        target: Target,
        now: float,
        *,
        seconds: float,
        output_tokens: int | None,
        broken: bool,
        how: tuple[Judgement, Needs] | None = None,
    ) -> None:
        """A committed stream has ended.

        Args:
            target: Who.
            now: Monotonic seconds.
            seconds: From the first content to the end.
            output_tokens: As reported.
            broken: It broke after content was delivered.
            how: The failure, and what the request asked for; None for one by the provider's fault.
        """
        vitals = self.of(target)
        vitals.running = max(0, vitals.running - 1)
        if how is not None:
            self._learn(target, vitals, how[0], now, how[1])
            broken = _blames(how[0], only=False)
        if broken:
            self._count(vitals.breaker, target.id, now, probe=False)
            vitals.speed.failed(0.0, now)
        elif output_tokens:
            vitals.speed.decoded(output_tokens, seconds, now)

    def failed(
        self,
        target: Target,
        judgement: Judgement,
        launched: float,
        now: float,
        *,
        probe: bool,
        seconds: float,
        needs: Needs,
        only: bool = False,
        own_limit: bool = False,
    ) -> None:
        """An attempt failed: take it down at what it speaks about.

        Args:
            target: Who.
            judgement: How.
            launched: When, in monotonic seconds.
            now: Monotonic seconds.
            probe: What `launched` returned.
            seconds: From the launch to now.
            needs: What the request asked for.
            only: No other target was left, so that silence may be a cold start.
            own_limit: The caller's own deadline cut it short; that is nobody's failure.
        """
        vitals = self.of(target)
        vitals.gone(launched)
        if (endpoint := self._endpoints.get(target.url)) is not None:
            endpoint.released()
            if judgement.scope is not Scope.ENDPOINT:
                endpoint.succeeded(now, probe=True)  # whatever failed, it was reached
        if judgement.scope is Scope.ENDPOINT and not own_limit:
            breaker = self._endpoints.setdefault(target.url, Breaker())
            self._count(breaker, target.url or "the router", now, probe=now >= breaker.until)
        elif judgement.kept and not vitals.excused:
            vitals.excused = True
        elif _blames(judgement, only=only) and not own_limit:
            self._count(vitals.breaker, target.id, now, probe=probe)
            vitals.limits = 0 if now >= vitals.paused else vitals.limits
            vitals.speed.failed(seconds, now)
            self.throttle(target.provider).failed()
            if judgement.kind == "first_content_timeout":
                vitals.speed.first_content(seconds, now)
            probe = False
        if probe:
            vitals.breaker.released()
        self._learn(target, vitals, judgement, now, needs)

    def _count(self, breaker: Breaker, name: str, now: float, *, probe: bool) -> None:
        was_open = breaker.is_open
        if breaker.failed(now, self._rng.random(), probe=probe) and self._opened is not None and not was_open:
            self._opened(name, breaker.until - now)

    def _learn(self, target: Target, vitals: Vitals, judgement: Judgement, now: float, needs: Needs) -> None:
        """What a failure says beyond this call."""
        kind, scope = judgement.kind, judgement.scope
        if scope in _SHUT:
            self._shut[scope, target.url] = now + _SHUT[scope], f"{judgement.status} {kind}", now
        elif scope is Scope.PROVIDER and target.provider:  # without a catalogue it has no name
            self._shut[scope, target.provider] = now + (judgement.retry_after or _NOT_SERVED), kind, now
        elif judgement.status == 429:
            vitals.limits += 1
            grown = min(_LONGEST_PAUSE, _PAUSE * 2.0 ** min(vitals.limits - 1, 10))
            asked = min(judgement.retry_after or 0.0, _LONGEST_ASKED)
            vitals.paused = max(vitals.paused, now + max(asked, grown))  # a later, shorter word never shortens a pause
        elif judgement.cold and kind != "first_content_timeout":
            vitals.cold = now + (_COLD if judgement.retry_after is None else min(judgement.retry_after, _LONGEST_PAUSE))
        elif kind in _ABSENT:
            vitals.absent, vitals.absent_why = now + _NOT_SERVED, kind
        elif kind == "context_overflow":
            known = vitals.too_long[0] if vitals.too_long else needs.size
            vitals.too_long = known if _as_large(needs.size, known) else needs.size, now + _TOO_LONG
        elif kind == "unsupported_parameter":
            named = needs.parameters & set(re.findall(r"\w+", judgement.text))  # whole words: `n` is in most of them
            vitals.lacks = {names: until for names, until in vitals.lacks.items() if until > now}
            if named:  # else nobody knows which one, or it is about the messages, which differ each time
                vitals.lacks[named] = now + _NOT_SERVED
        elif kind == "malformed_tool_call":
            vitals.streams_badly = True

    # -- sessions ------------------------------------------------------------------------------------------------------

    def keep(self, session: str, target: Target, now: float) -> None:
        """A session was served by a target."""
        self._sessions[session, target.model] = target.id, now
        self._sessions.move_to_end((session, target.model))
        if len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)

    def kept(self, session: str, model: str, now: float) -> str | None:
        """The id of the target that serves a session, unless it has been idle for too long."""
        found = self._sessions.get((session, model))
        return found[0] if found is not None and now - found[1] <= _SESSION_IDLE else None


def _keys(target: Target) -> tuple[tuple[Scope, str], ...]:
    """What a target shares with others, and may be shut with."""
    return (Scope.ACCOUNT, target.url), (Scope.CREDENTIAL, target.url), (Scope.PROVIDER, target.provider)


def _as_large(size: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether a request is as large as another in every respect: too long an answer says nothing of the words."""
    return all(mine >= its for mine, its in zip(size, other, strict=True))


# Failures that say a target is not served at all.
_ABSENT = frozenset({"model_not_supported", "gone", "not_found"})
# Failures of the request or of its fit with a target, which say nothing of its health.
_BLAMELESS = _ABSENT | frozenset(
    {
        "context_overflow",
        "unsupported_parameter",
        "too_large",
        "empty_answer",
        "malformed_tool_call",
        "answer_too_large",
        "dimension_differs",
        "over_budget",
    }
)


def _blames(judgement: Judgement, *, only: bool) -> bool:
    """Whether a failure counts against the health of its target: not capacity, nor loading, nor what others caused."""
    if judgement.scope is not Scope.TARGET or judgement.verdict is Verdict.FATAL or judgement.kind in _BLAMELESS:
        return False
    if judgement.kind == "first_content_timeout":
        return not only
    return judgement.status != 429 and not judgement.cold
