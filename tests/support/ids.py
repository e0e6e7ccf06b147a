"""Names of parametrized tests."""

from __future__ import annotations

_LONGEST = 200


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes and long texts are called by their argument: archives contain the time at which they were made, and the
    processes of one run, which collect at different times, refuse to begin when their tests differ."""
    is_long = isinstance(val, str) and len(val) > _LONGEST
    return argname if is_long or isinstance(val, bytes) else None
