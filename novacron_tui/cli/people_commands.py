"""`novacron user …`, `passwd` and `join` with their flags; the code of a command is imported when it runs.

No password and no code is a flag: other users of the machine can read the command line.
"""

from __future__ import annotations

from typing import Annotated

import typer

from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.args import NoWaitFlag, OutputFlag, ProfileFlag, ServerFlag, run_with_client
from novacron_tui.cli.runtime.choice import chosen_server
from novacron_tui.cli.runtime.output import Output

user = typer.Typer(help="Manage people.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="User name or id.", autocompletion=completion.user_names)]
EveryName = Annotated[
    list[str], typer.Argument(metavar="NAME…", help="User names or ids.", autocompletion=completion.user_names)
]
TenantFlag = Annotated[
    str,
    typer.Option("--tenant", help="Tenant. Default: that of your session.", autocompletion=completion.tenant_names),
]
RoleFlag = Annotated[
    str, typer.Option("--role", help="Role: owner, operator or viewer.", autocompletion=completion.member_roles)
]
EmailFlag = Annotated[str, typer.Option("--email", help="E-mail address.")]
CertificateFlag = Annotated[
    str, typer.Option("--certificate", help="SHA-256 fingerprint of the server's certificate, if it is self-signed.")
]


def mount(app: typer.Typer) -> None:
    """Add them to `novacron`."""
    app.add_typer(user, name="user")
    app.command()(passwd)
    app.command()(join)


@user.command("ls")
def user_ls(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]", help="Filter text, e.g. role:owner is:disabled.")
    ] = None,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List people: the members of your tenant, for an administrator everybody."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_ls(client, output, " ".join(words or ())))


@user.command("show")
def user_show(
    context: typer.Context, name: Name, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Show a person."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_show(client, output, name))


@user.command("create")
def user_create(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Name of the new user.")],
    role: RoleFlag = "viewer", tenant: TenantFlag = "", email: EmailFlag = "",
    administrator: Annotated[bool, typer.Option("--administrator", help="Make it an administrator.")] = False,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Create an account. Prompts for its password, or reads it from the first line of stdin."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_create(
        client, output, name, email=email, tenant=tenant, role=role, administrator=administrator,
    ))  # fmt: skip


@user.command("invite")
def user_invite(
    context: typer.Context,
    role: RoleFlag = "viewer", tenant: TenantFlag = "",
    email: Annotated[str, typer.Option("--email", help="E-mail address of whom it is for.")] = "",
    hours: Annotated[int, typer.Option("--hours", min=1, max=720, help="Hours until it expires.")] = 72,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Invite a person to a tenant. Prints a code that counts once: send it to the person."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_invite(
        client, output, email=email, tenant=tenant, role=role, hours=hours,
    ))  # fmt: skip


@user.command("invitations")
def user_invitations(
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[WORD]", help="Words to search for.")] = None,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List invitations."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_invitations(client, output, " ".join(words or ())))


@user.command("uninvite")
def user_uninvite(
    context: typer.Context,
    invitation: Annotated[str, typer.Argument(metavar="ID", help="Id, as `user invitations` lists it.")],
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Revoke an invitation."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_uninvite(client, invitation))


@user.command("disable")
def user_disable(
    context: typer.Context, names: EveryName, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Disable accounts: their sessions end at once, and nobody signs in to them."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_disable(client, output, names, disabled=True))


@user.command("enable")
def user_enable(
    context: typer.Context, names: EveryName, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Enable disabled accounts."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_disable(client, output, names, disabled=False))


@user.command("delete")
def user_delete(
    context: typer.Context, name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Delete an account. Its VMs and volumes stay. Asks for confirmation unless --yes is given."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_delete(client, name, sure=yes))


@user.command("hand-over")
def user_hand_over(
    context: typer.Context, name: Name,
    to: Annotated[
        str, typer.Option("--to", metavar="USER", help="New owner of everything.", autocompletion=completion.user_names)
    ],
    tenant: Annotated[
        str,
        typer.Option(
            "--tenant", help="New tenant (administrators). Default: each stays in its tenant.",
            autocompletion=completion.tenant_names,
        ),
    ] = "",
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Give all VMs and volumes of a person to somebody else, with a result for each."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_hand_over(
        client, output, name, to=to, tenant=tenant, wait=not no_wait,
    ))  # fmt: skip


@user.command("role")
def user_role(
    context: typer.Context, name: Name,
    role: Annotated[
        str,
        typer.Argument(
            help="owner, operator, viewer or none (removed) in the tenant; administrator or not-administrator.",
            autocompletion=completion.all_roles,
        ),
    ],
    tenant: TenantFlag = "", output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Give a person a role in a tenant, or make it an administrator of the installation."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_role(client, output, name, role, tenant=tenant))


@user.command("reset-password")
def user_reset_password(
    context: typer.Context, name: Name, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Print a code with which the person sets a new password, once."""
    from novacron_tui.cli import people

    run_with_client(context, lambda client: people.user_reset_password(client, output, name))


def passwd(
    context: typer.Context,
    reset: Annotated[
        bool, typer.Option("--reset", help="Set a new password with a code of `user reset-password`, without a session.")
    ] = False,
    name: Annotated[str, typer.Option("--user", "-u", help="User name, with --reset.")] = "",
    certificate: CertificateFlag = "",
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Change your password: every session of yours ends. Prompts, or reads the old (or the code) and the new one from the
    first two lines of stdin."""
    from novacron_tui.cli import own_account

    if reset != bool(name):
        raise typer.BadParameter("--reset and --user are given together")
    if reset:
        own_account.reset_password(chosen_server(context), name, certificate)
    else:
        run_with_client(context, own_account.change_password)


def join(
    context: typer.Context,
    name: Annotated[
        str, typer.Option("--user", "-u", help="Create an account with this user name. Default: the session's account.")
    ] = "",
    email: EmailFlag = "",
    certificate: CertificateFlag = "",
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Take up an invitation. Prompts for its code (and a password for a new account), or reads it from the first line of
    stdin (and the password from the second)."""
    from novacron_tui.cli import own_account

    if name:
        own_account.create_account(chosen_server(context), name, email, certificate)
    else:
        run_with_client(context, own_account.join)
