"""The estimates as tables: what was seen when, and what is believed then."""

from __future__ import annotations

import math

import pytest

from hfrouter.routing.estimates import Speed

# (second, what is seen, seconds or tokens); `latency`, `throughput`, `failing` and `lost` say what is believed then.
Row = list[tuple[float, str, float]]
# What the probe counts for after ten minutes of samples and ten without.
RETURNING = 3 * (1 - 1 / math.e * (1 - 1 / math.e))

LATENCIES: dict[str, tuple[float | None, Row]] = {
    "nothing seen: the probe": (0.4, [(0, "latency", 0.4)]),
    "nothing known: slow": (None, [(0, "latency", 5.0)]),
    "a probe of nothing is a probe": (0.0, [(0, "latency", 0.0)]),
    "the probe counts as three samples": (1.0, [(0, "first", 5.0), (0, "latency", (3 * 1 + 1 * 5) / 4)]),
    "without news it returns, since the sample fades": (
        1.0,
        [(0, "first", 5.0), (600, "latency", (3 * 1 + 5 / math.e) / (3 + 1 / math.e)), (1e9, "latency", 1.0)],
    ),
    "whenever that was": (
        1.0,
        [(700, "first", 5.0), (1_300, "latency", (3 * 1 + 5 / math.e) / (3 + 1 / math.e))],
    ),
    "while samples come it fades, from the first one on": (
        1.0,
        [
            *((0, "first", 5.0), (600, "first", 5.0)),
            (600, "latency", (3 / math.e * 1 + 2 * 5) / (3 / math.e + 2)),
        ],
    ),
    "and returns once they no longer come": (
        1.0,
        [
            *((0, "first", 5.0), (600, "first", 5.0)),
            (1_200, "latency", (RETURNING * 1 + 2 / math.e * 5) / (RETURNING + 2 / math.e)),
            (1e9, "latency", 1.0),
        ],
    ),
    "a slower sample counts for 0.35": (
        0.0,
        [(0, "first", 1.0), (0, "first", 3.0), (0, "latency", 2 * (1 + 0.35 * 2) / 5)],
    ),
    "a faster one by how long ago the last was": (
        0.0,
        [(0, "first", 2.0), (15, "first", 1.0), (1e9, "seen latency", 1 + 1 / math.e)],
    ),
    "at once it does not count": (0.0, [(0, "first", 2.0), (0, "first", 1.0), (1e9, "seen latency", 2.0)]),
    "time is counted from the last sample": (
        0.0,
        [
            *((0, "first", 2.0), (15, "first", 2.0), (30, "first", 1.0)),
            (1e9, "seen latency", 1 + 1 / math.e),
        ],
    ),
    "a cold start counts as 8 s": (0.0, [(0, "first", 60.0), (1e9, "seen latency", 8.0)]),
    "that it took at least so long, when nothing was seen": (0.0, [(0, "at least", 3.0), (1e9, "seen latency", 3.0)]),
    "or when that is longer": (
        0.0,
        [*((0, "first", 1.0), (0, "at least", 2.0), (100, "at least", 1.0)), (1e9, "seen latency", 1.35)],
    ),
    "at most twenty samples are believed": (
        1.0,
        [*[(0.0, "first", 5.0)] * 1_000, (0, "latency", (3 * 1 + 20 * 5) / 23)],
    ),
}

THROUGHPUTS: dict[str, tuple[float | None, Row]] = {
    "nothing seen: the probe": (100.0, [(0, "throughput", 100.0)]),
    "nothing known: slow": (None, [(0, "throughput", 20.0)]),
    "a probe of nothing is none": (0.0, [(0, "throughput", 20.0)]),
    "the probe counts as three samples": (100.0, [(0, "decoded", 300), (0, "throughput", (3 * 100 + 300) / 4)]),
    "each further sample counts for 0.3": (
        100.0,
        [*((0, "decoded", 100), (0, "decoded", 200)), (1e9, "seen throughput", 130)],
    ),
    "fewer than 16 tokens tell nothing": (100.0, [(0, "decoded", 15), (0, "throughput", 100.0)]),
    "16 do": (100.0, [(0, "decoded", 16), (1e9, "seen throughput", 16.0)]),
    "at most twenty samples are believed": (
        100.0,
        [*[(0.0, "decoded", 300)] * 1_000, (0, "throughput", (3 * 100 + 20 * 300) / 23)],
    ),
    "without news it returns, since the sample fades": (
        100.0,
        [
            (0, "decoded", 300),
            *((600, "throughput", (3 * 100 + 300 / math.e) / (3 + 1 / math.e)), (1e9, "throughput", 100.0)),
        ],
    ),
    "while samples come it fades, from the first one on": (
        100.0,
        [
            *((0, "decoded", 300), (600, "decoded", 300)),
            (600, "throughput", (3 / math.e * 100 + 2 * 300) / (3 / math.e + 2)),
        ],
    ),
    "and returns once they no longer come": (
        100.0,
        [
            *((0, "decoded", 300), (600, "decoded", 300)),
            (1_200, "throughput", (RETURNING * 100 + 2 / math.e * 300) / (RETURNING + 2 / math.e)),
        ],
    ),
}

FAILURES: dict[str, Row] = {
    "nothing seen: none": [(0, "failing", 0.0), (0, "lost", 1.0)],
    "a failure is a tenth": [(0, "fails", 1.0), (0, "failing", 0.1), (0, "lost", 1.0)],
    "two are 19 %": [(0, "fails", 1.0), (0, "fails", 1.0), (0, "failing", 0.19)],
    "an answer takes a tenth of it": [(0, "fails", 1.0), (0, "answers", 0), (0, "failing", 0.09)],
    "without news it is forgotten within a minute or two": [(0, "fails", 1.0), (30, "failing", 0.1 / math.e)],
    "what is forgotten is not counted twice": [
        *((0, "fails", 1.0), (30, "answers", 0)),
        (60, "failing", 0.9 * 0.1 / math.e / math.e),
    ],
    "nor when it fails again": [
        *((0, "fails", 1.0), (30, "fails", 1.0)),
        (30, "failing", 0.1 / math.e + 0.1 * (1 - 0.1 / math.e)),
        (60, "failing", (0.1 / math.e + 0.1 * (1 - 0.1 / math.e)) / math.e),
    ],
    "the time lost moves by a fifth": [(0, "fails", 11.0), (0, "lost", 3.0), (0, "fails", 3.0), (0, "lost", 3.0)],
}


def seen(speed: Speed, probed: float | None, rows: Row) -> None:
    for now, what, value in rows:
        match what:
            case "first":
                speed.first_content(value, now)
            case "at least":
                speed.at_least(value, now)
            case "decoded":
                speed.decoded(int(value), 1.0, now)
            case "fails":
                speed.failed(value, now)
            case "answers":
                speed.answered(now)
            case "latency":
                assert speed.latency(probed, now) == pytest.approx(value)
            case "seen latency":
                assert speed._latency == pytest.approx(value)
            case "seen throughput":
                assert speed._throughput == pytest.approx(value)
            case "throughput":
                assert speed.throughput(probed, now) == pytest.approx(value)
            case "failing":
                assert speed.failing(now) == pytest.approx(value)
            case "lost":
                assert speed.lost == pytest.approx(value)
            case _:
                pytest.fail(what)


@pytest.mark.parametrize("name", LATENCIES)
def test_the_time_to_the_first_content(name: str) -> None:
    probed, rows = LATENCIES[name]
    seen(Speed(), probed, rows)


@pytest.mark.parametrize("name", THROUGHPUTS)
def test_tokens_per_second(name: str) -> None:
    probed, rows = THROUGHPUTS[name]
    seen(Speed(), probed, rows)


@pytest.mark.parametrize("name", FAILURES)
def test_the_share_of_failures(name: str) -> None:
    seen(Speed(), None, FAILURES[name])


def test_no_time_at_all_tells_nothing() -> None:
    speed = Speed()
    speed.decoded(1_000, 0.0, 0.0)
    speed.decoded(1_000, -1.0, 0.0)
    assert speed.throughput(7.0, 0.0) == 7.0
    speed.decoded(1_000, 1.0, 0.0)
    assert speed._throughput == 1_000


@pytest.mark.parametrize(
    ("seconds", "tokens", "latency"),
    [
        (3.0, 100, 2.0),  # 100 tokens at 100 a second explain one of three seconds
        (1.05, 100, 0.105),  # and a tenth is never explained
        (0.5, 100, 0.05),
    ],
)
def test_of_an_answer_in_one_piece_what_decoding_does_not_explain_is_the_time_to_the_first_content(
    seconds: float, tokens: int, latency: float
) -> None:
    speed = Speed()
    speed.whole(seconds, tokens, 100.0, 0.0)
    assert speed._latency == pytest.approx(latency)
    assert speed.throughput(7.0, 0.0) == 7.0
