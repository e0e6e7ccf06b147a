"""How often to read follows what reading costs."""

from __future__ import annotations

from novacron_server.metrics.polling import PollingInterval


def test_cheap_rounds_keep_the_wanted_period() -> None:
    pace = PollingInterval(5, share=0.25)
    pace.record(1.0)
    assert pace.period_s == 5


def test_dear_rounds_stretch_it_at_once_up_to_a_limit() -> None:
    pace = PollingInterval(5, share=0.25, longest_s=60)
    pace.record(3.0)
    assert pace.period_s == 12
    pace.record(100.0)
    assert pace.period_s == 60


def test_it_comes_back_slowly_to_what_is_measured() -> None:
    pace = PollingInterval(5, share=0.25)
    pace.record(8.0)
    periods = []
    for _ in range(30):
        pace.record(0.1)
        periods.append(pace.period_s)
    assert periods == sorted(periods, reverse=True)
    assert 20 < periods[0] < 32
    assert periods[-1] == 5


def test_a_host_in_trouble_is_asked_less_often_until_it_answers() -> None:
    pace = PollingInterval(5, share=0.25)
    for _ in range(10):
        pace.record_failure()
    assert pace.period_s == 60
    pace.record(0.1)
    assert pace.period_s == 5
