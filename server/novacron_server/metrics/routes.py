"""The HTTP routes of metrics."""

from __future__ import annotations

from novacron_core.api import history
from novacron_core.api import usage as api
from novacron_core.api.base import Nothing, Page
from novacron_server.http.call import Call, Reply, Served, serve
from novacron_server.metrics.exporter import CONTENT_TYPE, Exporter
from novacron_server.metrics.pipeline import MetricsPipeline
from novacron_server.metrics.scrape_access import ScrapeAccess


def routes(pipeline: MetricsPipeline, exporter: Exporter, scrape_access: ScrapeAccess) -> list[Served]:
    usage = pipeline.usage

    @serve(api.NOW)
    async def now(call: Call[Nothing, Nothing]) -> api.FleetUsage:
        return usage.now(call.principal)

    @serve(api.TOP)
    async def top(call: Call[api.TopQuery, Nothing]) -> Page[api.VMUsage]:
        return usage.top(call.principal, call.query)

    @serve(history.HISTORY)
    async def query_history(call: Call[history.HistoryQuery, Nothing]) -> history.History:
        return await pipeline.queries.query(call.principal, call.query)

    @serve(history.OF_VM)
    async def query_vm_history(call: Call[history.RangeQuery, Nothing]) -> history.History:
        return await pipeline.queries.query_vm(call.principal, call.path["vm_id"], call.query)

    @serve(api.PROMETHEUS)
    async def prometheus(call: Call[Nothing, Nothing]) -> bytes | Reply[bytes]:
        scrape_access.check(call.address, call.bearer)
        text = await exporter.text(compressed=call.accepts_gzip)
        encoding = (("content-encoding", "gzip"),) if call.accepts_gzip else ()
        return Reply(text, headers=(("content-type", CONTENT_TYPE), ("vary", "accept-encoding"), *encoding))

    return [now, top, query_history, query_vm_history, prometheus]
