"""A soak from its start to its verdict: the main thread breaks and mends, the others send, listen and watch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from threading import Event

from hyperwatch.harness import host
from hyperwatch.soak import checks
from hyperwatch.soak.client_pool import ClientPool
from hyperwatch.soak.database_state import DatabaseState
from hyperwatch.soak.environment import SoakEnvironment, SoakOptions
from hyperwatch.soak.faults import FAULTS, FaultScene, do, turns
from hyperwatch.soak.leak_check import series
from hyperwatch.soak.processes import Children
from hyperwatch.soak.report import Broken, Check, SoakReport
from hyperwatch.soak.resource_sampler import ResourceSampler
from hyperwatch.soak.traffic import Traffic

SAY_SECONDS = 10.0
SHORTEST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
# So long nothing may move before it counts as standing still.
PATIENCE = 45.0
QUIET_SECONDS = 4.0


class Soak:
    """`stop` ends it early, with the verdict so far."""

    def __init__(self, ground: SoakEnvironment, asked: SoakOptions, stop: Event) -> None:
        self._ground = ground
        self._asked = asked
        self._stop = stop
        self._rng = Random(asked.seed)  # noqa: S311 (no secret)
        self._stored = DatabaseState(ground.database_url)
        self._children = Children(ground)
        self._source = Traffic(asked)
        self._audience = ClientPool(self._children.web, asked)
        self._watch = ResourceSampler(self._children.web, self._children.consumers, ground.database_url, asked.clients)
        self._scene = FaultScene(ground.parts, self._children, self._source, self._rng, stop.wait)
        self._broken: list[Broken] = []
        self._said_at = 0.0

    def run(self) -> SoakReport:
        self._stored.prepare(self._source.whales)
        with self._children.running():
            self._ground.say("all is up; the market begins")
            with self._under_load():
                self._break_now_and_then()
                self._settle()
            return self._verdict()

    @contextmanager
    def _under_load(self) -> Iterator[None]:
        self._audience.start()
        self._source.start()
        self._watch.start()
        try:
            yield
        finally:
            self._source.stop()
            self._watch.stop()
            self._audience.stop()

    # Meanwhile

    def _break_now_and_then(self) -> None:
        """A fault after each pause, until the market ends."""
        names = turns(self._asked.faults, self._rng) if self._asked.faults else iter(())
        pause = self._pause() / 2
        while self._goes_on(pause):
            name = self._next(names)
            if name is not None:
                self._break(name)
            pause = self._pause() * self._rng.uniform(0.5, 1.5)

    def _pause(self) -> float:
        usual = self._asked.seconds / (2 * len(self._asked.faults) or 1)
        return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, usual))

    def _goes_on(self, seconds: float) -> bool:
        """After so many seconds, with an eye on our processes; False once nothing more is sent."""
        until = time.monotonic() + seconds
        while self._source.is_sending and not self._stop.is_set() and time.monotonic() < until:
            self._scene.wait(0.2)
            self._tell()
        return self._source.is_sending and not self._stop.is_set()

    def _next(self, names: Iterator[str]) -> str | None:
        """The next that may be done now: what ends a process of ours is not, once its last life has begun."""
        is_late = self._passed > self._asked.seconds / 2
        for _ in FAULTS:
            name = next(names, None)
            if name is None or not (is_late and FAULTS[name].ends_ours):
                return name
        return None

    def _break(self, name: str) -> None:
        at, began = self._passed, time.monotonic()
        do(name, self._scene)
        self._broken.append(Broken(round(at, 1), name, round(time.monotonic() - began, 1)))
        self._ground.say(f"{_clock(at)}: {name}, mended after {self._broken[-1].seconds:.1f} s")

    @property
    def _passed(self) -> float:
        return time.monotonic() - self._source.began

    def _tell(self) -> None:
        if time.monotonic() - self._said_at < SAY_SECONDS:
            return
        self._said_at = time.monotonic()
        heard = min((sum(one.places.values()) for one in self._audience.listeners), default=0)
        self._ground.say(
            f"{_clock(self._passed)} of {_clock(self._asked.seconds)}: {self._source.sent:,} sent, "
            f"{self._source.acknowledged:,} acknowledged, {heard:,} heard by the last client, "
            f"{self._audience.visitors.present} visitors"
        )

    # At the end

    def _settle(self) -> None:
        """Until all that was sent is stored and told, or nothing moves any more; then a while of quiet."""
        self._source.stop()
        self._audience.disconnect_transient()
        self._ground.say("the market has ended; what is on its way arrives")
        moved_at, before = time.monotonic(), None
        while time.monotonic() - moved_at < PATIENCE and not self._is_settled():
            self._children.look_after()
            if (now := self._progress()) != before:
                moved_at, before = time.monotonic(), now
            time.sleep(0.5)
        time.sleep(QUIET_SECONDS)

    def _is_settled(self) -> bool:
        if self._source.is_sending or self._stored.counts() != self._source.truth.counts:
            return False
        if self._stored.letters() != self._source.refused:
            return False
        heads = self._stored.heads()
        return all(at == heads[name] for one in self._audience.listeners for name, at in one.places.items())

    def _progress(self) -> object:
        heard = [tuple(one.places.values()) for one in self._audience.listeners]
        return self._source.acknowledged, self._stored.counts(), heard

    def _verdict(self) -> SoakReport:
        source = self._source
        return SoakReport(
            parameters=self._asked._asdict(),
            machine=host.facts(),
            services=dict(self._ground.services),
            seconds=round(source.ended - source.began, 1),
            is_whole=not self._stop.is_set(),
            figures=self._figures(),
            memory={child.name: series(self._watch.last_life(child)) for child in self._children.all},
            faults=self._broken,
            checks=list(self._checks()),
        )

    def _figures(self) -> dict[str, object]:
        source, audience = self._source, self._audience
        return {
            "messages sent": source.sent,
            "messages a second": round(source.sent / max(0.1, source.ended - source.began), 1),
            "facts told to clients that stay": sum(one.facts for one in audience.listeners),
            "visits": audience.visitors.came.total(),
            "requests": audience.visitors.answers.total(),
            "faults": len(self._broken),
        }

    def _checks(self) -> Iterator[Check]:
        self._stored.wait_until_there()
        yield from checks.of_sending(self._source)
        yield from checks.of_storing(self._stored, self._source)
        yield from checks.of_telling(self._stored, self._audience)
        yield from checks.of_living(self._children)
        yield from checks.of_holding(self._watch, self._children)


def soak(ground: SoakEnvironment, asked: SoakOptions, stop: Event) -> SoakReport:
    return Soak(ground, asked, stop).run()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
