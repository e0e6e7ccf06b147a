"""The lists of the account screen: where one is signed in, and one's API tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from novacron_core.api.api_tokens import ApiToken
from novacron_core.api.sessions import AccountSession
from novacron_core.rules.filters.language import FilterField, compile_filter
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.roles import limits_words
from novacron_tui.account.reading import AccountData
from novacron_tui.connection.session import Session
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import Cell, Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

_SOON_S = 7 * 86400.0
"""A token that expires sooner is shown as a warning: a script stops then."""
SESSION_FIELDS: dict[str, FilterField[AccountSession]] = {
    "address": FilterField(lambda session: session.address),
    "client": FilterField(lambda session: session.user_agent),
    "tenant": FilterField(lambda session: session.tenant),
}
TOKEN_FIELDS: dict[str, FilterField[ApiToken]] = {
    "name": FilterField(lambda token: token.name),
    "may": FilterField(lambda token: limits_words(token.permissions, token.filter)),
    "tenant": FilterField(lambda token: token.tenant),
    "from": FilterField(lambda token: token.last_address),
}


class SessionPane(ListPane[AccountSession]):
    """The sessions that have not ended, the one used last first."""

    NOUN = "session"
    EXAMPLE = "an address, or tenant:red client:novacron*"

    def __init__(self, session: Session, glyphs: Glyphs, data: AccountData) -> None:
        self._session, self._glyphs, self.data = session, glyphs, data
        table: Table[AccountSession] = Table(
            self._columns(),
            lambda entry: entry.id,
            signs=glyphs.table_signs,
            sort="used",
            marks_of=lambda entry: () if entry.current else (entry.id,),
            id="sessions",
        )
        super().__init__(table)

    def version(self) -> Hashable:
        return self.data.version

    def rows(self) -> Sequence[AccountSession]:
        return self.data.sessions

    def total(self) -> int:
        return len(self.data.sessions)

    def compile(self, text: str) -> Callable[[AccountSession], bool]:
        return compile_filter(text, SESSION_FIELDS)

    def placeholder(self) -> Sequence[Piece]:
        return () if self.data.sessions else _nothing_read(self.data, self._glyphs, "no session: you use an API token")

    def _columns(self) -> list[Column[AccountSession]]:
        text, session, glyphs = self._glyphs.cell, self._session, self._glyphs

        def address(entry: AccountSession) -> Cell:
            here = ((f" {glyphs.dot} this console", "good"),) if entry.current else ()
            return (*text(entry.address, "strong"), *here)

        def ago(entry: AccountSession) -> Cell:
            return text(age_text(age_s(entry.last_used_at, session.now)))

        def begun(entry: AccountSession) -> Cell:
            return text(age_text(age_s(entry.created_at, session.now)), "quiet")

        def ends(entry: AccountSession) -> Cell:
            return text(age_text((entry.expires_at - session.now).total_seconds()), "quiet")

        return [
            Column("address", "ADDRESS", 26, address, lambda e: e.address, stretch=2, widest=44),
            Column("tenant", "TENANT", 10, lambda e: text(e.tenant), lambda e: e.tenant, stretch=1, widest=24, rank=1),
            Column("used", "USED", 7, ago, lambda e: -e.last_used_at.timestamp(), right=True),
            Column("begun", "BEGUN", 7, begun, lambda e: -e.created_at.timestamp(), right=True, rank=2),
            Column("ends", "ENDS IN", 7, ends, lambda e: e.expires_at.timestamp(), right=True, rank=2),
            Column("client", "CLIENT", 14, lambda e: text(e.user_agent, "quiet"), lambda e: e.user_agent, stretch=2, widest=48, rank=3),
        ]  # fmt: skip


class TokenPane(ListPane[ApiToken]):
    """The user's API tokens, by name."""

    NOUN = "API token"
    EXAMPLE = "a name, or may:reading tenant:red"

    def __init__(self, session: Session, glyphs: Glyphs, data: AccountData) -> None:
        self._session, self._glyphs, self.data = session, glyphs, data
        table: Table[ApiToken] = Table(
            self._columns(), lambda token: token.id, signs=glyphs.table_signs, sort="name", id="tokens"
        )
        super().__init__(table)

    def version(self) -> Hashable:
        return self.data.version

    def rows(self) -> Sequence[ApiToken]:
        return self.data.tokens

    def total(self) -> int:
        return len(self.data.tokens)

    def compile(self, text: str) -> Callable[[ApiToken], bool]:
        return compile_filter(text, TOKEN_FIELDS)

    def placeholder(self) -> Sequence[Piece]:
        if self.data.tokens:
            return ()
        if self.data.read_at is None or self.data.error:
            return _nothing_read(self.data, self._glyphs, "")
        return [
            Piece("no API tokens\n\n", "strong"),
            Piece("c", "key"),
            Piece(" creates one: a script uses it as NOVACRON_TOKEN,\nwith at most the rights that you have", "quiet"),
        ]

    def _columns(self) -> list[Column[ApiToken]]:
        text, session = self._glyphs.cell, self._session

        def expires(token: ApiToken) -> Cell:
            left_s = (token.expires_at - session.now).total_seconds()
            return text(age_text(left_s), "warn" if left_s < _SOON_S else "plain")

        def used(token: ApiToken) -> Cell:
            return text(age_text(age_s(token.last_used_at, session.now)) if token.last_used_at else "never", "quiet")

        def may(token: ApiToken) -> Cell:
            return text(limits_words(token.permissions, token.filter))

        return [
            Column("name", "NAME", 14, lambda e: text(e.name, "strong"), lambda e: e.name, stretch=1, widest=32),
            Column("may", "LIMITED TO", 16, may, lambda e: limits_words(e.permissions, e.filter), stretch=3, widest=60),
            Column("tenant", "TENANT", 10, lambda e: text(e.tenant), lambda e: e.tenant, stretch=1, widest=24, rank=3),
            Column("expires", "EXPIRES IN", 10, expires, lambda e: e.expires_at.timestamp(), right=True),
            Column("used", "USED", 6, used, lambda e: -e.last_used_at.timestamp() if e.last_used_at else None, right=True, rank=1),
            Column("from", "FROM", 12, lambda e: text(e.last_address, "quiet"), lambda e: e.last_address or None, stretch=1, widest=40, rank=2),
        ]  # fmt: skip


def _nothing_read(data: AccountData, glyphs: Glyphs, empty: str) -> Sequence[Piece]:
    if data.error:
        return [Piece(f"{glyphs.bad} {data.error}\n\n", "bad"), Piece("r", "key"), Piece(" tries again", "quiet")]
    if data.read_at is None:
        return [Piece(f"{glyphs.work} reading…", "busy")]
    return [Piece(empty, "quiet")]
