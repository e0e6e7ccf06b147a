"""Runs jobs when they are due, each on one server at a time.

A job is a row, so its next due time outlives the server. After an outage, a job that missed several due times runs once
(`Missed.RUN_ONCE`) or waits for the next one (`Missed.SKIP`); its row counts the missed ones. A failure is logged and
stored in the row, and the job is retried after a pause that doubles up to its period.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

import structlog

from novacron_core import errors
from novacron_server.database.transactions import Connection, Database
from novacron_server.runtime.scheduler import repository
from novacron_server.runtime.scheduler.repository import JobRow
from novacron_server.tasks import cancel_tasks

_log = structlog.get_logger()
LEASE = timedelta(seconds=60)
RENEW_S = 20.0
MAX_PAUSE_S = 30.0
"""The longest pause between two reads of the table: another server may have changed a due time."""
FIRST_RETRY = timedelta(seconds=30)


class Missed(StrEnum):
    """What to do about due times that passed while no server ran."""

    RUN_ONCE = "run once"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Job:
    """`run` is called with the start time of the run. `every` is the time between two due times, `delay` the time
    before the first one."""

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[None]]
    missed: Missed = Missed.RUN_ONCE
    delay: timedelta = timedelta(0)


class Scheduler:
    """`run` is a background task. `now` returns the current time; jobs delete data by it, so it must be trustworthy."""

    def __init__(self, database: Database, jobs: Iterable[Job], now: Callable[[], datetime]) -> None:
        """Raises ValueError when two jobs have the same name."""
        self._database = database
        self._jobs: dict[str, Job] = {}
        for job in jobs:
            if job.name in self._jobs:
                raise ValueError(f"two jobs are named {job.name}")
            self._jobs[job.name] = job
        self._now = now
        self._owner = str(uuid4())
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Check for due jobs now."""
        self._wake.set()

    async def run(self) -> None:
        """Run due jobs until cancelled. While the database is down, no job runs."""
        registered = False
        while True:
            pause_s = MAX_PAUSE_S
            self._wake.clear()
            try:
                if not registered:
                    await self._register()
                    registered = True
                pause_s = await self.run_due()
            except errors.DatabaseUnavailable as e:
                _log.warning("scheduler waits for the database", reason=e.detail)
            try:
                async with asyncio.timeout(min(max(pause_s, 0.05), MAX_PAUSE_S)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _register(self) -> None:
        now = self._now()

        async def add(connection: Connection) -> None:
            for job in self._jobs.values():
                await repository.add_missing(connection, job.name, now + job.delay)

        await self._database.run(add)

    async def run_due(self) -> float:
        """Run every due job, one after another. Returns the seconds until the next. Raises DatabaseUnavailable."""
        if self._database.refusal:
            raise errors.DatabaseUnavailable(self._database.refusal)
        rows = await self.rows()
        ready = [job for row in rows if row.due_at <= self._now() and (job := self._jobs.get(row.name))]
        for job in ready:
            await self._run_claimed(job)
        if ready:  # they have new due times
            rows = await self.rows()
        due = [row.due_at for row in rows if row.name in self._jobs]
        return (min(due) - self._now()).total_seconds() if due else MAX_PAUSE_S

    async def _run_claimed(self, job: Job) -> None:
        now = self._now()
        row = await self._database.run(lambda c: repository.claim(c, job.name, self._owner, now, now + LEASE))
        if row is None:
            return
        late = int((now - row.due_at) / job.every)
        error = "" if job.missed is Missed.SKIP and late else await self._run_leased(job, now)
        ended = self._now()
        await self._database.run(
            lambda c: repository.finish(
                c, job.name, self._owner, due_at=_next(job, row, ended, error), now=ended, missed=late, error=error
            )
        )

    async def _run_leased(self, job: Job, now: datetime) -> str:
        """Run a job while renewing its lease. Returns why it failed, empty on success."""
        renewing = asyncio.create_task(self._renew(job), name=f"lease of {job.name}")
        try:
            await job.run(now)
        except errors.NovaCronError as e:
            _log.warning("scheduled job failed", job=job.name, reason=e.detail)
            return e.detail
        except Exception as e:  # noqa: BLE001 - a failing job must not stop the others (G14)
            _log.error("scheduled job failed unexpectedly", job=job.name, exc_info=e)
            return f"{type(e).__name__}: {e}"
        finally:
            await cancel_tasks([renewing])
        return ""

    async def _renew(self, job: Job) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                until = self._now() + LEASE
                if not await self._database.run(lambda c, t=until: repository.extend(c, job.name, self._owner, t)):  # type: ignore[misc]
                    _log.warning("a scheduled job lost its lease", job=job.name)
                    return
            except errors.DatabaseUnavailable as e:
                _log.warning("could not renew the lease of a scheduled job", job=job.name, reason=e.detail)

    async def rows(self) -> list[JobRow]:
        """Every job's row, in order of due time."""
        return await self._database.run(repository.all_rows, read_only=True)


def _next(job: Job, row: JobRow, now: datetime, error: str) -> datetime:
    """The next due time: a multiple of the period after the last one, so that the job does not drift."""
    if error:
        pause: timedelta = FIRST_RETRY * 2 ** min(row.failures, 20)
        return now + min(pause, job.every)
    periods = int((now - row.due_at) / job.every) + 1
    return row.due_at + periods * job.every
