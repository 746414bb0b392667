"""The command `simulate`: the simulated router in the foreground, for clients in other processes."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from hfrouter.simulator import Simulator

_HELP = """\
Simulating the Hugging Face router at {base}

  openai    OpenAI(base_url="{base}", api_key="{token}")
  hfrouter  Router(base_url="{base}", token="{token}")
  the Hub   HF_ENDPOINT={url}

Make a provider fail, and see what was asked and charged:

  curl {url}/__simulator__/fail -d '{{"provider": "groq", "fault": {{"name": "rate_limited"}}, "times": null}}'
  curl {url}/__simulator__/heal -X POST
  curl {url}/__simulator__/bill

It ends after {seconds:g} s, or with Ctrl-C."""


def simulate(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for a free one.")] = 8420,
    seconds: Annotated[float, typer.Option(help="End by itself after so long.")] = 3600,
    seed: Annotated[int, typer.Option(help="Makes ids, timings and random faults repeatable.")] = 0,
    latency: Annotated[float, typer.Option(help="Seconds to the first token.")] = 0.0,
    rate: Annotated[float | None, typer.Option(help="Tokens per second; at once when not given.")] = None,
) -> None:
    """Serve a simulated Hugging Face router on a port, and say at the end what it was asked and what it charged."""
    try:
        simulator = Simulator(seed, latency=latency, rate=rate, port=port).start()
    except ModuleNotFoundError as error:
        typer.echo(f"simulate needs the package {error.name!r}; run: pip install 'hfrouter[sim]'", err=True)
        raise typer.Exit(2) from None
    except (OSError, OverflowError) as error:
        typer.echo(f"Port {port} cannot be used: {error}", err=True)
        raise typer.Exit(1) from None
    with simulator:
        base, url = simulator.base_url, simulator.url
        typer.echo(_HELP.format(base=base, url=url, token=simulator.token, seconds=seconds))
        try:
            threading.Event().wait(seconds)
        except KeyboardInterrupt:
            typer.echo()
    bill = simulator.bill()
    unknown = f", and {bill.unknown} of unknown cost" if bill.unknown else ""
    typer.echo(f"Requests: {len(simulator.exchanges)}, charged: {len(bill)}, cost: ${bill.total:f}{unknown}")
