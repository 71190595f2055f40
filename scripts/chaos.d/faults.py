"""What is done to the fleet, when, and for how long: a schedule out of a seed, and the hands that carry it out.

A fault holds its victim's lock, so that nobody kills what is dead already; faults of different victims overlap. It judges
nothing. Read next: account.py.
"""

import asyncio
import collections
import dataclasses
import os
import pathlib
import random
import signal

import machine
from fleet import GRACE

# How often each kind comes up among so many faults, and whom it is about.
WEIGHTS = {
    "queen-kill": 20,
    "queen-term": 8,
    "queen-stop": 10,
    "drone-kill": 18,
    "drone-term": 8,
    "drone-stop": 10,
    "test-kill": 18,
    "test-term": 8,
    "test-stop": 10,
    "child-kill": 8,
    "net-reset": 18,
    "net-half-open": 4,
    "net-half-open-queen": 4,
    "net-hang": 6,
    "net-delay": 8,
    "net-loss": 8,
    "net-partition": 14,
    "client-reset": 6,
}
DISK = {"queen-disk-full": 7, "drone-disk-full": 8}
POSTGRES = {"postgres-fast": 6, "postgres-immediate": 7, "postgres-stop": 5, "postgres-backend-kill": 4}
POSTGRES_DISK = {"postgres-disk-full": 4}
# One file is hit at most so often: three dead processes make it poison, which is another thing to be shown.
HITS = 1
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}


@dataclasses.dataclass
class Fault:
    """One entry of the schedule. `drone`, `length` (0 to 1) and `seed` are drawn for every kind, so that a kind more or
    less moves nothing else."""

    at: float
    kind: str
    drone: int
    length: float
    seed: int

    def between(self, least, most):
        return least + self.length * (most - least)


def schedule(seed, count, seconds, drones, can_fill, postgres):
    """Every kind in its share, in mixed order, spread over the time."""
    weights = dict(WEIGHTS) | (DISK if can_fill else {}) | (POSTGRES if postgres else {}) | (POSTGRES_DISK if postgres and can_fill else {})
    chance = random.Random(seed)
    whole = sum(weights.values())
    kinds = []
    owed = {kind: 0.0 for kind in weights}
    # The kind that is owed the most comes next: any beginning of the list has each in its share.
    while len(kinds) < count:
        for kind, weight in weights.items():
            owed[kind] += weight / whole
        kind = max(owed, key=lambda kind: (owed[kind], chance.random()))
        owed[kind] -= 1
        kinds.append(kind)
    chance.shuffle(kinds)
    step = seconds / count
    return [
        Fault(at=(number + chance.random()) * step, kind=kind, drone=chance.randrange(drones), length=chance.random(), seed=chance.randrange(1 << 30))
        for number, kind in enumerate(kinds)
    ]


class Hands:
    """Carries the schedule out."""

    def __init__(self, queen, drones, client_link, postgres, mark, findings, say):
        self.queen = queen
        self.drones = drones
        self.client_link = client_link
        self.postgres = postgres
        self.mark = mark
        self.findings = findings
        self.say = say
        self.done = collections.Counter()
        self.hits = collections.Counter()
        self.links = {drone.name: asyncio.Lock() for drone in drones}

    async def run(self, faults):
        begun = asyncio.get_running_loop().time()
        tasks = []
        for fault in faults:
            await asyncio.sleep(max(0.0, begun + fault.at - asyncio.get_running_loop().time()))
            tasks.append(asyncio.ensure_future(self._one(fault)))
        await asyncio.gather(*tasks)

    async def _one(self, fault):
        whom, _, what = fault.kind.partition("-")
        try:
            match whom:
                case "queen":
                    hit = await self._queen(fault, what)
                case "drone":
                    hit = await self._drone(fault, what)
                case "net":
                    hit = await self._net(fault, what)
                case "postgres":
                    hit = await self._postgres(fault, what)
                case "client":
                    self.client_link.proxy.reset()
                    hit = "the client"
                case _:
                    hit = await self._process(fault, whom, what)
        except Exception as error:
            self.findings.broken(f"the fault {fault} could not be carried out or healed: {error!r}")
            return
        kind = fault.kind
        if hit is None:
            # No victim came by: a connection is hit in its place.
            kind, hit = "net-reset", self.drones[fault.drone].name
            self.drones[fault.drone].link.proxy.reset()
        self.done[kind] += 1
        self.say(f"{fault.at:7.1f} s  {kind:<22} {hit}")

    async def _queen(self, fault, what):
        queen = self.queen
        async with queen.lock:
            match what:
                case "kill":
                    await queen.die()
                    await asyncio.sleep(fault.between(0, 3))
                    await queen.launch()
                case "term":
                    if not await queen.stop(20):
                        self.findings.broken("the queen did not end after two TERM")
                    await asyncio.sleep(fault.between(0, 2))
                    await queen.launch()
                case "stop":
                    await self._pause(queen.program, fault.between(0.5, 5))
                case "disk-full":
                    await self._fill(queen, queen.disk, fault.between(1, 5))
            await queen.ready()
        return "the queen"

    async def _drone(self, fault, what):
        drone = self.drones[fault.drone]
        async with drone.lock:
            match what:
                case "kill":
                    await drone.die()
                    # Now and then for longer than the queen waits.
                    await asyncio.sleep(GRACE + 2 if fault.length > 0.85 else fault.between(0, 3))
                    await drone.launch()
                case "term":
                    if not await drone.stop(fault.between(1, 8)):
                        self.findings.broken(f"{drone.name} did not end after two TERM")
                    await drone.launch()
                case "stop":
                    await self._pause(drone.program, fault.between(0.5, 8))
                case "disk-full":
                    async with self.links[drone.name]:
                        # Now what it has to say is to go to its disk, now work comes that finds no place.
                        drone.link.cut(fault.seed % 2 == 0)
                        try:
                            await self._fill(drone, drone.disk, fault.between(1, 4))
                        finally:
                            drone.link.cut(False)
        return drone.name

    @staticmethod
    async def _pause(program, seconds):
        program.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            program.signal(signal.SIGCONT)

    @staticmethod
    async def _fill(keeper, disk, seconds):
        keeper.excuses += 1
        disk.fill()
        try:
            await asyncio.sleep(seconds)
        finally:
            disk.free()
            # What it began while the disk was full may still end it.
            await asyncio.sleep(1)
            keeper.excuses -= 1

    async def _net(self, fault, what):
        drone = self.drones[fault.drone]
        link, proxy = drone.link, drone.link.proxy
        async with self.links[drone.name]:
            match what:
                case "reset":
                    proxy.reset()
                case "half-open":
                    proxy.leave_half_open(client=True)
                case "half-open-queen":
                    proxy.leave_half_open(client=False)
                case "hang":
                    proxy.takes.clear()
                    proxy.reset()
                    await asyncio.sleep(fault.between(1, GRACE + 2))
                case "delay":
                    link.slow(2.0)
                    await asyncio.sleep(fault.between(5, 10))
                case "loss":
                    link.lose(0.01)
                    await asyncio.sleep(fault.between(5, 15))
                case "partition":
                    link.cut(True)
                    await asyncio.sleep(fault.between(1, GRACE + 5))
            link.heal()
        return drone.name

    async def _postgres(self, fault, what):
        postgres = self.postgres
        async with postgres.lock:
            self.queen.excuses += 1
            try:
                match what:
                    case "fast" | "immediate":
                        await postgres.stop(signal.SIGINT if what == "fast" else signal.SIGQUIT)
                        await asyncio.sleep(fault.between(0.2, 4))
                        await postgres.start()
                    case "stop":
                        processes = [postgres.program.pid, *self._backends()]
                        _signal(processes, signal.SIGSTOP)
                        try:
                            await asyncio.sleep(fault.between(0.5, 6))
                        finally:
                            _signal(processes, signal.SIGCONT)
                    case "disk-full":
                        postgres.disk.fill()
                        try:
                            await asyncio.sleep(fault.between(1, 4))
                        finally:
                            postgres.disk.free()
                        await postgres.start_if_down()
                    case "backend-kill":
                        if backends := self._backends():
                            _signal([random.Random(fault.seed).choice(backends)], signal.SIGKILL)
                        await postgres.start_if_down()
                async with self.queen.lock:
                    await self.queen.ready()
            finally:
                self.queen.excuses -= 1
        return "PostgreSQL"

    def _backends(self):
        """The processes of PostgreSQL that serve the queen."""
        pid = self.postgres.program.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sorted(int(child) for child in children if b"postgres: skep" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes())

    async def _process(self, fault, whom, what):
        """A test's first process, or one of its children that only waits; None if none came by in time."""
        chance = random.Random(fault.seed)

        def victims():
            found = [process for process in machine.marked(self.mark) if process.file and self.hits[process.job, process.file] < HITS]
            if whom == "test":
                return [process for process in found if process.is_leader]
            return [process for process in found if process.name == "sleep" and not process.is_leader]

        for _ in range(100):
            if found := victims():
                victim = chance.choice(sorted(found, key=lambda process: (process.job, process.file)))
                # Before the signal: what it leads to is to find it noted.
                self.hits[victim.job, victim.file] += 1
                if victim.signal(SIGNALS[what]):
                    if what == "stop":
                        await asyncio.sleep(fault.between(0.5, 4))
                        victim.signal(signal.SIGCONT)
                    return str(victim)
            await asyncio.sleep(0.2)
        return None

    def heal(self):
        """Nothing of any fault is left, whatever became of it."""
        for link in (self.client_link, *(drone.link for drone in self.drones)):
            link.heal()
        for keeper in (self.queen, *self.drones):
            keeper.disk.free()
        if self.postgres:
            self.postgres.disk.free()


def _signal(processes, number):
    for pid in processes:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
