"""The entry point to authentication: accounts, signing in and out, tokens, tickets, and how each of them ends."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from novacron_core.api.access import Login, Refresh, Register, Ticket, Tokens, User, Validation
from novacron_core.api.api_tokens import PREFIX
from novacron_core.api.events import Priority
from novacron_core.errors import (
    DatabaseUnavailable,
    Forbidden,
    NotFound,
    NovaCronError,
    TotpRequired,
    Unauthenticated,
)
from novacron_core.rules.visibility import Principal
from novacron_server.access import repository, tokens
from novacron_server.access.accounts import Accounts, account_event
from novacron_server.access.api_tokens.live import LiveApiTokens
from novacron_server.access.attempts import Attempt, Attempts
from novacron_server.access.keys import Keys
from novacron_server.access.live import CHECK_S, SessionCache
from novacron_server.access.passwords import Passwords
from novacron_server.access.repository import Account, StoredSession, Use
from novacron_server.access.second_factor.check import use_code
from novacron_server.access.setup_token import SetupToken
from novacron_server.access.tickets import Tickets
from novacron_server.access.warnings import warning
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.repository import append

SESSION_LIFETIME = timedelta(hours=24)
IDLE = timedelta(hours=12)
KEPT_AFTER_END = timedelta(days=7)
HOUSEKEEPING_S = 3600.0
_ENDED = "Your session has ended. Sign in again."
_WRONG = "Wrong user name or password"
_CODE_REQUIRED = "Enter a code of your authenticator app, or a recovery code"
_WRONG_CODE = "This code is wrong, or was used already. Wait for the next one of your app."
_NO_TENANT = "Your account belongs to no tenant. Ask an administrator to add it to one."
_log = structlog.get_logger(__name__)


class Access:
    """One per server: call start() before use, run `watch` as a background task, and call close() at the end.

    `wake` is called after commits with events.

    `sessions_per_user` are live at most: a further sign-in ends the one that was used longest ago.
    `idle`: a session ends when its tokens were not renewed for so long.
    `on_session_end` gets the id of a session whose tokens are no longer valid: after logout, a new role or
    password, expiry, or a change by another server (within 2 seconds).
    """

    def __init__(
        self,
        database: Database,
        data_dir: Path,
        wake: Callable[[], None] = lambda: None,
        *,
        open_registration: bool = False,
        sessions_per_user: int = 64,
        idle: timedelta = IDLE,
        attempts: Attempts | None = None,
        passwords: Passwords | None = None,
        on_session_end: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._database = database
        self._sessions_per_user = sessions_per_user
        self._attempts = attempts or Attempts()
        self._idle = idle
        self._wake = wake
        self._passwords = passwords or Passwords()
        self._keys = Keys(data_dir / "secrets.json")
        self._setup_token = SetupToken(data_dir)
        self._accounts = Accounts(database, self._passwords, self._setup_token, open_registration=open_registration)
        self._live = SessionCache(database, self._session_ended)
        self._api_tokens = LiveApiTokens(database, self._session_ended)
        self._tickets = Tickets()
        self._setup_required = True
        self._started = False
        self._on_session_end = on_session_end

    async def start(self) -> None:
        """Write the setup token if there is no account yet, and hash once. Raises DatabaseUnavailable."""
        if await self.setup_required():
            await self._setup_token.renew()
        else:
            self._setup_token.end()
        await self._passwords.warm_up()
        self._started = True

    async def close(self) -> None:
        self._passwords.close()

    async def setup_required(self) -> bool:
        """Whether the first account has yet to be created. While the database is down, the last known answer."""
        if self._setup_required:
            try:
                count = await self._database.run(repository.count_accounts, read_only=True)
            except DatabaseUnavailable:
                if not self._started:
                    raise
            else:
                self._setup_required = count == 0
        return self._setup_required

    # -- accounts ----------------------------------------------------------------------------------------------------

    async def register(self, request: Register, caller: Principal | None) -> User:
        """See Accounts.register."""
        user = await self._accounts.register(request, caller)
        self._wake()
        return user

    # -- sessions ----------------------------------------------------------------------------------------------------

    async def login(self, request: Login, address: str, user_agent: str) -> Tokens:
        """Start a session and return its first tokens.

        Raises RateLimited with the delay, and Unauthenticated with the same message for every reason; TotpRequired after
        the right password of an account with a second factor, without a right code.
        """

        async def claim(conn: Connection) -> tuple[Attempt, Account | None]:
            attempt = await self._attempts.claim(conn, request.username, address)
            return attempt, await repository.find_account_by_name(conn, attempt.account)

        attempt, account = await self._database.run(claim)
        stored = account.password_hash if account else None
        verdict = await self._passwords.compare(request.password, stored, known=attempt.known)
        if account is None or not verdict.right or account.disabled:
            raise Unauthenticated(_WRONG)

        async def begin(conn: Connection) -> tuple[Tokens, list[str]] | None:
            now = await repository.find_account(conn, account.user.id, locked=True)
            if now is None or now.disabled or now.password_hash != account.password_hash:
                return None  # the account changed while the password was compared
            if not now.member:
                raise Forbidden(_NO_TENANT)
            if now.totp_on and not (request.totp and await use_code(conn, now, request.totp)):
                raise TotpRequired(_WRONG_CODE if request.totp else _CODE_REQUIRED)
            await self._attempts.succeed(conn, attempt)
            if verdict.new_hash:
                await repository.update_account(conn, now.user.id, ends_tokens=False, password_hash=verdict.new_hash)
            issued = await self._begin(conn, now, address, user_agent)
            return issued, await repository.revoke_oldest_sessions(conn, now.user.id, self._sessions_per_user)

        begun = await self._database.run(begin)
        if begun is None:
            raise Unauthenticated(_WRONG)
        issued, ended = begun
        for session_id in ended:
            self._live.end(session_id)
        self._wake()
        return issued

    async def refresh(self, request: Refresh) -> Tokens:
        """New tokens for the session. The same request gets the same refresh token for `repository.REPEAT_S` seconds;
        a refresh token that is used again later may be stolen, so the session ends.

        Raises Unauthenticated.
        """
        token_hash = tokens.fingerprint(request.refresh_token)

        async def work(conn: Connection) -> tuple[Tokens | None, str | None]:
            used = await repository.use_refresh_token(conn, token_hash)
            found = await repository.find_sessions(conn, [used[0]]) if used else []
            now = datetime.now(UTC)
            if not used or not found or not found[0].live(now) or found[0].idle(now, self._idle):
                return None, None
            session = found[0]
            await repository.note_session_use(conn, session.id)
            if used[1] is Use.FIRST:
                return await self._renew(conn, session, tokens.successor(self._keys, request.refresh_token)), None
            if used[1] is Use.REPEATED:
                return await self._repeat(conn, session, request.refresh_token), None
            await repository.revoke_session(conn, session.id)
            note = "a refresh token was used twice, so the session was ended"
            user = session.account.user
            ended = account_event(user, "access.signed_out", by="", note=note, priority=Priority.HIGH)
            await append(conn, [ended, warning(ended.target, f"a refresh token of {user.username} was used twice")])
            return None, session.id

        renewed, ended = await self._database.run(work)
        if ended is not None:
            self._live.end(ended)
            self._wake()
        if renewed is None:
            raise Unauthenticated(_ENDED)
        return renewed

    async def logout(self, principal: Principal) -> None:
        """End the session immediately, with all its tokens, tickets and sockets."""

        async def work(conn: Connection) -> None:
            account = await repository.find_account(conn, principal.user_id, tenant=principal.tenant)
            if await repository.revoke_session(conn, principal.session_id) and account is not None:
                event = account_event(account.user, "access.signed_out", by=principal.username, priority=Priority.LOW)
                await append(conn, [event])

        await self._database.run(work)
        self._live.end(principal.session_id)
        self._wake()

    async def switch_tenant(self, principal: Principal, tenant: str) -> Tokens:
        """Go on with the session in another tenant: its tokens, tickets and sockets of before end, and its refresh token
        stays. Raises NotFound, also for a tenant that the caller does not belong to, and Forbidden when the caller's role
        there has got more rights since the session began."""

        async def work(conn: Connection) -> StoredSession:
            account = await repository.find_account(conn, principal.user_id, tenant=tenant, locked=True)
            known = await repository.tenant_exists(conn, tenant)
            if account is None or not account.member or not known:
                raise NotFound("tenant not found")
            await repository.move_session(conn, principal.session_id, tenant)
            found = await repository.find_sessions(conn, [principal.session_id])
            if found and found[0].outdated:
                raise Forbidden(
                    f"Your role in {tenant} has more rights than when you signed in. Sign in again to work there."
                )
            if not found or not found[0].live(datetime.now(UTC)):
                raise Unauthenticated(_ENDED)
            switched = account_event(
                account.user,
                "access.tenant_switched",
                by=principal.username,
                after=tenant,  # and not from where: the owners of this tenant read it
                priority=Priority.LOW,
            )
            await append(conn, [switched])
            return await _with_memberships(conn, found[0])

        session = await self._database.run(work)
        self.end_tokens([session.id])
        return self._pair(session, "")

    def end_tokens(self, session_ids: Iterable[str]) -> None:
        """Drop sessions and API tokens whose rows a change of access has just ended, or whose rights it changed, with
        their tickets and sockets; and announce the events of that change."""
        for session_id in session_ids:
            self._live.end(session_id)
            self._api_tokens.forget(session_id)
        self._wake()

    async def authenticate(self, bearer: str, address: str = "") -> Principal:
        """The user of an access token or API token, as of now. `address` is the client's.

        Raises Unauthenticated; DatabaseUnavailable for an unknown session.
        """
        if bearer.startswith(PREFIX):
            return await self._api_tokens.authenticate(bearer, address)
        return await self._live.principal(tokens.verify(self._keys, bearer))

    def user_of(self, bearer: str) -> str:
        """The id of the user of a token, empty when it is not valid. Does not look whether the session lives."""
        if not bearer:
            return ""
        if bearer.startswith(PREFIX):
            return self._api_tokens.user_of(bearer)
        try:
            return tokens.verify(self._keys, bearer).user_id
        except Unauthenticated:
            return ""

    async def validate(self, principal: Principal) -> Validation:
        """The account with its memberships, and the expiry of the caller's token.

        Raises Unauthenticated when the account was deleted.
        """

        async def work(conn: Connection) -> User | None:
            account = await repository.find_account(conn, principal.user_id, tenant=principal.tenant)
            if account is None:
                return None
            return await repository.with_memberships(conn, repository.limited_user(account, principal.scope))

        user = await self._database.run(work, read_only=True)
        if user is None:
            raise Unauthenticated("This account no longer exists")
        if principal.token:  # who holds it learns of its tenant alone
            own = [each for each in user.memberships if each.tenant == principal.tenant]
            user = msgspec.structs.replace(user, memberships=own)
        return Validation(valid=True, user=user, expires_at=principal.expires_at)

    # -- tickets -----------------------------------------------------------------------------------------------------

    async def ticket(self, principal: Principal) -> Ticket:
        """A ticket for one WebSocket handshake. Raises RateLimited when the session has too many unused ones."""
        return self._tickets.issue(principal)

    async def redeem_ticket(self, ticket: str) -> Principal:
        """Redeem a ticket and return its user. Raises Unauthenticated, also when the session has ended."""
        return self._tickets.redeem(ticket)

    # -- internal ----------------------------------------------------------------------------------------------------

    async def _begin(self, conn: Connection, account: Account, address: str, user_agent: str) -> Tokens:
        session = StoredSession(
            id=str(uuid.uuid4()),
            account=account,
            expires_at=datetime.now(UTC) + SESSION_LIFETIME,
            revoked=False,
        )
        await repository.add_session(
            conn,
            session_id=session.id,
            user_id=account.user.id,
            tenant=account.user.tenant,
            expires_at=session.expires_at,
            user_agent=_printable(user_agent, 256),
            address=_printable(address, 64),
        )
        issued = await self._renew(conn, await _with_memberships(conn, session), tokens.opaque())
        event = account_event(account.user, "access.signed_in", by=account.user.username, priority=Priority.LOW)
        await append(conn, [event])
        return issued

    async def _renew(self, conn: Connection, session: StoredSession, refresh: str) -> Tokens:
        """A new pair of tokens for a live session, with this refresh token."""
        await repository.add_refresh_token(conn, tokens.fingerprint(refresh), session.id)
        return self._pair(session, refresh)

    async def _repeat(self, conn: Connection, session: StoredSession, used: str) -> Tokens | None:
        """The pair whose refresh token succeeded `used`; None when its key is gone."""
        for refresh in tokens.successors(self._keys, used):
            if await repository.has_refresh_token(conn, tokens.fingerprint(refresh), session.id):
                return self._pair(session, refresh)
        return None

    def _pair(self, session: StoredSession, refresh: str) -> Tokens:
        """The refresh token with a new access token, which never outlives the session."""
        now, account = datetime.now(UTC), session.account
        until = min(now + tokens.LIFETIME, session.expires_at)
        access = tokens.sign(
            self._keys,
            user_id=account.user.id,
            session_id=session.id,
            role=account.user.role,
            tenant=account.user.tenant,
            epoch=account.epoch,
            until=until,
        )
        lifetime_s = max(1, int((until - now).total_seconds()))
        user = repository.limited_user(account, session.scope)
        return Tokens(token=access, expires_in=lifetime_s, refresh_token=refresh, user=user)

    def _session_ended(self, session_id: str) -> None:
        self._tickets.delete_of_session(session_id)
        self._on_session_end(session_id)

    async def watch(self) -> None:
        """Every second, end sessions that ended elsewhere and renew an old setup token; hourly, prune rows and keys."""
        cleaned_at = -HOUSEKEEPING_S
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                await self._live.check()
                await self._api_tokens.check()
                await asyncio.to_thread(self._keys.reload_if_rotated)
                if self._setup_required:
                    await self._watch_setup()
                if time.monotonic() - cleaned_at > HOUSEKEEPING_S:
                    cleaned_at = time.monotonic()
                    await self._clean()
            except (NovaCronError, OSError) as exc:  # keep watching: a full disk or a lost database is temporary
                _log.warning("access_watch_failed", reason=str(exc))

    async def _watch_setup(self) -> None:
        if await self.setup_required():
            await self._setup_token.renew_if_old()
        else:
            self._setup_token.end()

    async def _clean(self) -> None:
        before = datetime.now(UTC) - KEPT_AFTER_END
        await self._database.run(lambda conn: repository.prune(conn, before), timeout_s=30)
        await self._api_tokens.clean()
        await asyncio.to_thread(self._keys.rotate_if_old)


async def _with_memberships(conn: Connection, session: StoredSession) -> StoredSession:
    """The session as its user is told of it."""
    user = await repository.with_memberships(conn, session.account.user)
    return msgspec.structs.replace(session, account=msgspec.structs.replace(session.account, user=user))


def _printable(text: str, longest: int) -> str:
    """A request header's text, limited to what a column may hold: printable and at most `longest` characters."""
    return "".join(letter for letter in text if letter.isprintable())[:longest]
