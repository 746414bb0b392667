"""From hfrouter's streams to LlamaIndex's: real generators, whose last response has usage and cost.

LlamaIndex's decorators wrap a generator in one of theirs, and do not close ours when theirs is left: they hand the
`GeneratorExit` to event handlers, and a handler that keeps it keeps our generator, and the connection, alive. Hence a
third one around both, which closes ours itself.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from llama_index.core.base.llms.types import ChatResponseAsyncGen, ChatResponseGen

from hfrouter import AsyncStream, Stream
from llamaindex_hfrouter.convert import Answer
from llamaindex_hfrouter.events import Report

Response = TypeVar("Response")
Opened = list["weakref.ref[Any]"]
_opened: ContextVar[Opened | None] = ContextVar("hfrouter_opened", default=None)


@contextmanager
def noted() -> Iterator[Opened]:
    """Note the generators that are opened inside, however deep in decorators."""
    found: Opened = []
    token = _opened.set(found)
    try:
        yield found
    finally:
        _opened.reset(token)


def closing(shown: Generator[Response, None, None], opened: Opened) -> Generator[Response, None, None]:
    """A decorated generator that closes what is under it as soon as it is left."""
    try:
        yield from shown
    finally:
        for each in opened:
            if (generator := each()) is not None:
                generator.close()


async def aclosing(shown: AsyncGenerator[Response, None], opened: Opened) -> AsyncGenerator[Response, None]:
    """The asynchronous twin of `closing`."""
    try:
        async for response in shown:
            yield response
    finally:
        await shown.aclose()
        for each in opened:
            if (generator := each()) is not None:
                await generator.aclose()


def _note(generator: Any) -> None:
    if (found := _opened.get()) is not None:
        # Weakly: tasks that read ahead live in copies of this context, and must not keep what they are read by.
        found.append(weakref.ref(generator))


def responses(stream: Stream, answer: Answer, report: Report) -> ChatResponseGen:
    """The responses of an open stream. Leaving the loop, or never entering it, closes the upstream and is reported."""
    found = _read(stream, answer, report)
    # A generator that was never started runs no `finally`.
    weakref.finalize(found, _drop, stream, report).atexit = False
    _note(found)
    return found


def aresponses(stream: AsyncStream, answer: Answer, report: Report) -> ChatResponseAsyncGen:
    """The asynchronous twin of `responses`."""
    found = _aread(stream, answer, report)
    weakref.finalize(found, report.abandoned, stream).atexit = False
    _note(found)
    return found


def _read(stream: Stream, answer: Answer, report: Report) -> ChatResponseGen:
    try:
        with stream:
            for delta in stream:
                if delta.meaningful:
                    yield answer.step(delta)
        completion = stream.completion()
    except GeneratorExit:
        report.abandoned(stream)
        raise
    except BaseException as error:
        report.failed(error, stream)
        raise
    report.answered(completion)
    yield answer.end(completion, streamed=True)


async def _aread(stream: AsyncStream, answer: Answer, report: Report) -> ChatResponseAsyncGen:
    try:
        async with stream:
            async for delta in stream:
                if delta.meaningful:
                    yield answer.step(delta)
        completion = stream.completion()
    except GeneratorExit:
        report.abandoned(stream)
        raise
    except BaseException as error:
        report.failed(error, stream)
        raise
    report.answered(completion)
    yield answer.end(completion, streamed=True)


def _drop(stream: Stream, report: Report) -> None:
    if not report.told:
        stream.close()
        report.abandoned(stream)
