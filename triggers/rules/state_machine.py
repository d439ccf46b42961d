"""The state of one rule in one slice, one sample at a time: OK -> PENDING -> FIRING -> RECOVERING -> OK.

Live ticks, backtests, rule tests and the threshold lab all call `step`; nothing else decides what opens or resolves.
Whether there was data is *health*, beside the state: it never resolves an incident.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, Literal

from config.models import WatchRule

State = Literal["ok", "pending", "firing", "recovering"]
Health = Literal["ok", "no_data", "error"]
Verdict = Literal["breach", "between", "safe", "no_data", "error"]
Change = Literal["opened", "worsened", "resolved", "closed", "standing"]

OPEN: Final = frozenset({"firing", "recovering"})
ROUNDING: Final = 1e-9
"""0.90 - 0.88 is not quite 0.02."""

BLIND: Final = frozenset({"no_data", "error"})


@dataclass(frozen=True, slots=True)
class Sample:
    """What one slot says about one slice.

    Args:
        slot: the day after the last day of the window.
        verdict: beyond the limit on evidence; past the recover limit; between the two; or nothing to judge.
        value: in the metric's unit; None where there is no data.
        bad: how far the value lies on the bad side of the limit, in the metric's unit; negative on the good side.
    """

    slot: date
    verdict: Verdict
    value: float | None
    n: int
    bad: float = 0.0


@dataclass(frozen=True, slots=True)
class Instance:
    """What is remembered of a rule in a slice between slots. The default is what a slice begins with.

    Args:
        slot: the newest slot that counted towards `hits`.
        since: the slot of the first breach of the present run.
        hits: consecutive slots in breach, while pending.
        safe_since: the first slot of the present safe run, while recovering.
        blind_since: the first slot of the present run without data.
        told: the worst `bad` that was reported, while open.
        incident: the open incident's id.
    """

    state: State = "ok"
    health: Health = "ok"
    slot: date | None = None
    since: date | None = None
    hits: int = 0
    safe_since: date | None = None
    blind_since: date | None = None
    told: float | None = None
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something to record, and to tell: what changed, why, and when it became knowable."""

    change: Change
    reason: str
    at: datetime
    sample: Sample


FRESH: Final = Instance()
Step = tuple[Instance, tuple[Event, ...]]


def step(rule: WatchRule, instance: Instance, sample: Sample, now: datetime, recovery: str = "") -> Step:
    """The instance after a sample, and what changed. The same sample twice changes nothing the second time.

    Args:
        rule: whose `for`, `consecutive`, `keep_firing`, `recover` and `no_data` apply.
        instance: what is remembered of the slice.
        sample: what the slot says; its slot is never before the instance's.
        now: when the sample became knowable, aware UTC; the time of the events.
        recovery: what its recovery is, with its figure, which only the metric can write; else the rule's own words.
    """
    if sample.verdict in BLIND:
        return _blind(rule, instance, sample, now)
    seeing = replace(instance, health="ok", blind_since=None)
    if seeing.state in OPEN:
        return _open(rule, seeing, sample, now, recovery or rule.recovery)
    if sample.verdict == "breach":
        return _pending(rule, seeing, sample, now)
    return FRESH, ()


def _blind(rule: WatchRule, instance: Instance, sample: Sample, now: datetime) -> Step:
    """No data breaks a run of breaches and a run of safe slots, and leaves an open incident open."""
    health: Health = "error" if sample.verdict == "error" else "no_data"
    blind = Instance(health=health)
    if instance.state in OPEN:
        blind = replace(instance, state="firing", health=health, safe_since=None)
        blind = replace(blind, blind_since=instance.blind_since or sample.slot)
        is_long = sample.slot - (blind.blind_since or sample.slot) >= rule.window
        if is_long and rule.no_data == "close" and sample.verdict == "no_data":
            return Instance(health=health), (Event("closed", "no data for a whole window", now, sample),)
    return blind, ()


def _pending(rule: WatchRule, instance: Instance, sample: Sample, now: datetime) -> Step:
    is_new_slot = instance.slot is None or sample.slot > instance.slot
    hits = instance.hits + is_new_slot
    since = instance.since or sample.slot
    slot = sample.slot if is_new_slot else instance.slot
    if hits < rule.consecutive or sample.slot - since < rule.for_:
        return replace(instance, state="pending", slot=slot, since=since, hits=hits), ()
    reason = rule.breach
    if rule.consecutive > 1 or rule.for_:
        reason += f" in {hits} slots over {(sample.slot - since).days} days"
    return Instance(state="firing", slot=slot, since=since, told=sample.bad), (Event("opened", reason, now, sample),)


def _open(rule: WatchRule, instance: Instance, sample: Sample, now: datetime, recovery: str) -> Step:
    if sample.verdict == "safe":
        since = instance.safe_since or sample.slot
        if sample.slot - since < rule.keep_firing:
            return replace(instance, state="recovering", safe_since=since), ()
        lasting = f" for {rule.keep_firing.days} days" if rule.keep_firing else ""
        return Instance(), (Event("resolved", f"{recovery}{lasting}", now, sample),)
    firing = replace(instance, state="firing", safe_since=None)
    if sample.verdict == "breach" and _is_worse(rule, firing, sample):
        return replace(firing, told=sample.bad), (Event("worsened", f"further {rule.breach}", now, sample),)
    return firing, ()


def _is_worse(rule: WatchRule, instance: Instance, sample: Sample) -> bool:
    """Worse by more than the rule's own band."""
    told = instance.told if instance.told is not None else sample.bad
    return sample.bad > told + ROUNDING and sample.bad - told >= rule.band - ROUNDING
