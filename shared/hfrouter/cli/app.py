"""The commands."""

from __future__ import annotations

from typing import Annotated

import typer

import hfrouter
from hfrouter.cli.simulate import simulate

app = typer.Typer(
    help="One Hugging Face token, every open model: routing, fallback and exact cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(hfrouter.__version__)
        raise typer.Exit


app.command()(simulate)


@app.command()
def demo(
    live: Annotated[
        bool, typer.Option("--live", help="Ask the real router with HF_TOKEN; costs a fraction of a cent.")
    ] = False,
    model: Annotated[str, typer.Option(help="The chat model to ask.")] = "openai/gpt-oss-120b",
    embedding_model: Annotated[
        str, typer.Option(help="The embedding model to ask.")
    ] = "intfloat/multilingual-e5-large",
) -> None:
    """Show the main job: LangChain and LlamaIndex answer through one router while the providers behind it fail."""
    try:
        from hfrouter.cli.demo import run
    except ModuleNotFoundError as error:
        typer.echo(f"the demo needs the package {error.name!r}; run: pip install 'hfrouter[all]'", err=True)
        raise typer.Exit(2) from None
    try:
        raise typer.Exit(run(model, embedding_model, live=live))
    except hfrouter.HFRouterError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(1) from None
