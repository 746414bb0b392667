"""The demo: LangChain and LlamaIndex answer through one router while the providers behind it fail."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from rich.console import Console

from hfrouter.cli import langchain_scenes, llamaindex_scenes
from hfrouter.cli.documents import passages
from hfrouter.cli.report import Call, print_report
from hfrouter.cli.stage import Stage, stage

_WIDE = 118


def run(model: str, embedding_model: str, *, live: bool) -> int:
    """Run the demo and print what happened.

    Args:
        model: The chat model to ask.
        embedding_model: The embedding model to ask.
        live: Ask the real router instead of the simulator.

    Returns:
        The exit code: 0 when every answer was right.
    """
    logging.getLogger("hfrouter").addHandler(logging.NullHandler())  # the report tells what the log would
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, _WIDE))  # a file or a pipe has no width of its own
    with stage(model, embedding_model, live=live) as on:
        console.print(_opening(live, model), highlight=False)
        calls = list(_scenes(on))
        print_report(console, calls, live=live)
    return 0 if all(call.right for call in calls) else 1


def _opening(live: bool, model: str) -> str:
    if live:
        return f"\nAsking {model} through the real router. Nothing is made to fail here.\n"
    return (
        f"\nAsking {model} through a simulated Hugging Face router on a real socket.\n"
        "The first provider asked fails each time: watch who answers instead. Two minutes pass between calls;\n"
        "a call at once after another knows what that one has learned.\n"
    )


def _scenes(on: Stage) -> Iterator[Call]:
    yield from langchain_scenes.chain(on)
    yield from langchain_scenes.tool_loop(on)
    yield from langchain_scenes.retrieval(on, passages())
    yield from llamaindex_scenes.retrieval(on, passages())
    yield from llamaindex_scenes.agent(on)
    if on.sim is not None:
        yield from langchain_scenes.unpriced(on)
