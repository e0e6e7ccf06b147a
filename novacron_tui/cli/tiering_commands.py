"""The commands of storage by heat with their flags; the code of a command is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.args import NoWaitFlag, OutputFlag, ProfileFlag, ServerFlag, run_with_client
from novacron_tui.cli.runtime.output import Output
from novacron_tui.cli.storage_commands import Volume, Words

storage = typer.Typer(
    help="See which volumes work, and move them to the tier for it.", no_args_is_help=True, rich_markup_mode=None
)
policy = typer.Typer(help="Show or change when a volume should move.", no_args_is_help=True, rich_markup_mode=None)
Volumes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[VOLUME]...", help="Volume names or ids.", autocompletion=completion.volume_names),
]
Joined = Annotated[
    list[str],
    typer.Argument(metavar="VOLUME...", help="Volume names or ids.", autocompletion=completion.volume_names),
]
Settings = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME=VALUE...", help="E.g. floor=0.1 hot.cost=2 warm-to-hot=on warm-to-hot.window=22:00-06:00."
    ),
]
Switch = Annotated[str, typer.Argument(metavar="[on|off]", help="Turn automatic moves on or off.")]


def mount(app: typer.Typer) -> None:
    """Add them to `novacron`."""
    app.add_typer(storage, name="storage")
    storage.add_typer(policy, name="policy")


@storage.command("heat")
def heat(
    context: typer.Context, words: Words = None, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List volumes by heat: operations per second, over a day and a week, the hottest per GiB first."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.heat(client, output, " ".join(words or ())))


@storage.command("history")
def history(
    context: typer.Context, name: Volume, days: Annotated[int, typer.Option(help="How many days back.")] = 30,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Show the heat of a volume over time."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.history(client, output, name, days))


@storage.command("moves")
def moves(
    context: typer.Context, name: Volume, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List when and where a volume was moved between tiers, by whom, and with what result."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.moves(client, output, name))


@storage.command("advice")
def advice(
    context: typer.Context, why: Annotated[bool, typer.Option("--why", help="Show all numbers of each move.")] = False,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List the moves between tiers that would pay, in the order in which to make them."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.advice(client, output, why=why))


@storage.command("follow")
def follow(
    context: typer.Context, names: Volumes = None,
    everything: Annotated[bool, typer.Option("--all", help="Make all moves that are advised.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Move volumes as advised, one after another, even while their VMs run."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.follow(
        client, output, names or (), everything=everything, sure=yes, wait=not no_wait,
    ))  # fmt: skip


@storage.command("dismiss")
def dismiss(
    context: typer.Context, name: Volume,
    time: Annotated[str, typer.Option("--for", help="How long, e.g. 12h or 30d; 0 gives advice again.")] = "30d",
    reason: Annotated[str, typer.Option(help="Why; others read it.")] = "",
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Give no advice about a volume for a time."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.dismiss(client, output, name, time, reason))


@storage.command("pin")
def pin(
    context: typer.Context, name: Volume, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Keep a volume in its tier, whatever the advice."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.pin(client, output, name, pinned=True))


@storage.command("unpin")
def unpin(
    context: typer.Context, name: Volume, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Let a pinned volume move again."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.pin(client, output, name, pinned=False))


@storage.command("together")
def together(
    context: typer.Context, names: Joined,
    apart: Annotated[bool, typer.Option("--apart", help="Let them move alone again.")] = False,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Weigh disks of one VM together, and move them to the same tier."""
    from novacron_tui.cli import tiering

    run_with_client(context, lambda client: tiering.together(client, output, names, joined=not apart))


@policy.command("show")
def policy_show(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """Show when a volume should move, and what is declared of the tiers."""
    from novacron_tui.cli import storage_policy

    run_with_client(context, lambda client: storage_policy.show(client, output))


@policy.command("set")
def policy_set(
    context: typer.Context, settings: Settings, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Change the storage policy."""
    from novacron_tui.cli import storage_policy

    run_with_client(context, lambda client: storage_policy.change(client, output, settings))


@storage.command("automatic")
def automatic(
    context: typer.Context, switch: Switch = "", output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Show what the server moves by itself, or turn that on or off. `off` also cancels the moves that it makes now."""
    from novacron_tui.cli import storage_policy

    run_with_client(context, lambda client: storage_policy.automatic_moves(client, output, switch))


@storage.command("decisions")
def decisions(
    context: typer.Context, words: Words = None, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List which advised moves the server made, held back or stopped, and why, newest first."""
    from novacron_tui.cli import storage_policy

    run_with_client(context, lambda client: storage_policy.decisions(client, output, " ".join(words or ())))
