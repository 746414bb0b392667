"""What stands between a request and the provider that was chosen for it: money, scripted faults, limits, loading."""

from hfrouter.simulator.fault import Fault
from hfrouter.simulator.personality import Personality
from hfrouter.simulator.refusal import Refusal, RefusedError
from hfrouter.simulator.reply import Arrival
from hfrouter.simulator.state import State


def money_then_fault(state: State, arrival: Arrival, provider: str, model: str) -> Fault | None:
    """Return the fault that is scripted for a request.

    Raises:
        RefusedError: The money is spent; the router says so before any provider is asked.
    """
    if state.account.bounded:
        answer = state.account.refuse(state.log.snapshot(), arrival.organization)
        if answer is not None:
            raise RefusedError(answer)
    fault = state.scripts.next(provider, model)
    arrival.note(fault=fault and fault.name)
    return fault


def supply(state: State, speaker: Personality, model: str) -> float:
    """Return the seconds that the caller has to wait until the model is loaded.

    Raises:
        RefusedError: The provider has no room, or it says that the model is being loaded rather than to wait.
    """
    if not state.limits.admit(speaker.name):
        raise RefusedError(Refusal(429, speaker.rate_limited(), router=False))
    wait = state.warmth.wait(speaker.name, model)
    answer = speaker.cold(model, round(wait, 3)) if wait else None
    if answer is not None:
        raise RefusedError(answer)
    return wait
