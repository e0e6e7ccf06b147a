"""What the tables are made of: their metadata, and the columns that many have."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, ForeignKey, MetaData, Text, Uuid, func, text

METADATA = MetaData()
ID = Uuid(as_uuid=False)  # a string in Python, as in the API


def moment(name: str, *, null: bool = False, default: bool = False) -> Column[object]:
    """A time; `default`: that of the insert."""
    return Column(name, DateTime(timezone=True), nullable=null, server_default=func.now() if default else None)


def word(name: str, default: str | None = None, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null, server_default=None if default is None else text(f"'{default}'"))


def tenant(*, null: bool = False) -> Column[str]:
    return Column("tenant", Text, ForeignKey("tenants.id"), nullable=null)
