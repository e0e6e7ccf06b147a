"""Sets a user's second factor up, turns it on and off."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from novacron_core.api.events import Priority
from novacron_core.api.problem import FieldError
from novacron_core.api.second_factor import (
    BeginTotp,
    ConfirmTotp,
    EndTotp,
    RecoveryCodes,
    SecondFactor,
    TotpSecret,
)
from novacron_core.errors import Conflict, NotFound, Unauthenticated, ValidationFailed
from novacron_core.rules.visibility import Principal
from novacron_server.access import repository as accounts
from novacron_server.access.accounts import account_event
from novacron_server.access.repository import Account
from novacron_server.access.second_factor import codes, repository
from novacron_server.access.second_factor.proofs import Proofs
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.repository import append

_ON = "Your second factor is on already. Turn it off first, with your password and a code."
_NOT_BEGUN = "Begin to set up a second factor first"
_OFF = "You have no second factor"
_WRONG_CODE = "This code is wrong. Enter the six digits that your app shows now; its clock must be right."


class SecondFactors:
    """A change of it ends the other sessions of its user, who may have made it because one of them is a stranger's.

    `ended` gets the ids of the sessions that ended or have other rights now, after each commit.
    """

    def __init__(self, database: Database, proofs: Proofs, ended: Callable[[Iterable[str]], None]) -> None:
        self._database = database
        self._proofs = proofs
        self._ended = ended

    async def show(self, caller: Principal) -> SecondFactor:
        """Whether the caller has a second factor. Raises DatabaseUnavailable."""

        async def work(conn: Connection) -> SecondFactor:
            since = await repository.since(conn, caller.user_id)
            return SecondFactor(
                enabled=since is not None,
                required=await repository.is_required(conn, caller.tenant),
                since=since,
                recovery_codes_left=await repository.recovery_codes_left(conn, caller.user_id) if since else 0,
            )

        return await self._database.run(work, read_only=True)

    async def begin(self, caller: Principal, request: BeginTotp, address: str) -> TotpSecret:
        """A new secret. Codes are not required before `confirm`.

        Raises Forbidden for a wrong password, RateLimited, Conflict when the second factor is on.
        """
        secret = codes.new_secret()

        async def work(conn: Connection, account: Account) -> None:
            if account.totp_on:
                raise Conflict(_ON)
            await repository.begin(conn, caller.user_id, secret)

        await self._proofs.check(caller, request.password, None, address, work)
        return TotpSecret(secret=secret, uri=codes.uri(secret, caller.username))

    async def confirm(self, caller: Principal, request: ConfirmTotp) -> RecoveryCodes:
        """Turn the second factor on. Raises ValidationFailed for a wrong code, Conflict."""
        recovery = codes.new_recovery_codes()

        async def work(conn: Connection) -> list[str]:
            account = await accounts.find_account(conn, caller.user_id, tenant=caller.tenant, locked=True)
            if account is None:
                raise Unauthenticated("This account no longer exists")
            if account.totp_on or account.totp_secret is None:
                raise Conflict(_ON if account.totp_on else _NOT_BEGUN)
            step = codes.step_of(account.totp_secret, codes.normal(request.code))
            if step is None:
                raise ValidationFailed(_WRONG_CODE, fields=[FieldError(field="code", message=_WRONG_CODE)])
            fingerprints = [codes.recovery_fingerprint(code) or b"" for code in recovery]
            await repository.turn_on(conn, caller.user_id, step, fingerprints)
            event = account_event(account.user, "access.second_factor_on", by=caller.username, priority=Priority.HIGH)
            await append(conn, [event])
            return await accounts.revoke_all_sessions(conn, caller.user_id, but=caller.session_id)

        ended = await self._database.run(work)
        self._ended([*ended, caller.session_id])  # its own has all the rights of its role from now on
        return RecoveryCodes(recovery_codes=recovery)

    async def end(self, caller: Principal, request: EndTotp, address: str) -> None:
        """Turn the second factor off. Raises Forbidden for a wrong password or code, RateLimited, Conflict."""

        async def work(conn: Connection, account: Account) -> list[str]:
            if not account.totp_on:
                raise Conflict(_OFF)
            await repository.turn_off(conn, caller.user_id)
            event = account_event(account.user, "access.second_factor_off", by=caller.username, priority=Priority.HIGH)
            await append(conn, [event])
            return await accounts.revoke_all_sessions(conn, caller.user_id, but=caller.session_id)

        ended = await self._proofs.check(caller, request.password, request.code, address, work)
        self._ended([*ended, caller.session_id])  # where its tenant requires one, it may do little from now on

    async def end_of_user(self, caller: Principal, user_id: str) -> None:
        """Turn off the second factor of a user who has lost phone and recovery codes; the password stays.

        Raises NotFound, Conflict, ReauthenticationRequired.
        """

        async def work(conn: Connection) -> list[str]:
            await self._proofs.require(conn, caller)
            account = await accounts.find_account(conn, user_id, locked=True)
            if account is None:
                raise NotFound("user not found")
            if not account.totp_on:
                raise Conflict(f"{account.user.username} has no second factor")
            await repository.turn_off(conn, user_id)
            await append(
                conn,
                [account_event(account.user, "access.second_factor_off", by=caller.username, priority=Priority.HIGH)],
            )
            return await accounts.revoke_all_sessions(conn, user_id)

        self._ended(await self._database.run(work))
