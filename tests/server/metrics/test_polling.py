"""The polling interval depends on the cost of a read."""

from __future__ import annotations

from novacron_server.metrics.polling import PollingInterval


def test_cheap_reads_keep_the_configured_interval() -> None:
    pace = PollingInterval(5, share=0.25)
    pace.record(1.0)
    assert pace.period_s == 5


def test_expensive_reads_lengthen_the_interval_at_once_up_to_a_limit() -> None:
    pace = PollingInterval(5, share=0.25, longest_s=60)
    pace.record(3.0)
    assert pace.period_s == 12
    pace.record(100.0)
    assert pace.period_s == 60


def test_interval_shrinks_slowly_to_the_measured_cost() -> None:
    pace = PollingInterval(5, share=0.25)
    pace.record(8.0)
    periods = []
    for _ in range(30):
        pace.record(0.1)
        periods.append(pace.period_s)
    assert periods == sorted(periods, reverse=True)
    assert 20 < periods[0] < 32
    assert periods[-1] == 5


def test_failing_host_is_polled_less_often_until_it_responds() -> None:
    pace = PollingInterval(5, share=0.25)
    for _ in range(10):
        pace.record_failure()
    assert pace.period_s == 60
    pace.record(0.1)
    assert pace.period_s == 5
