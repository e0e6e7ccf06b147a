"""`totp show|set-up|off`: an authenticator app as second factor, with a QR code drawn in the terminal."""

from __future__ import annotations

import sys

from novacron_core.api import access, second_factor
from novacron_core.client import Client
from novacron_tui.cli.runtime.output import Output, print_line, print_line_now, print_styled, show_data, show_pairs
from novacron_tui.cli.runtime.prompts import secret
from novacron_tui.terminal.capabilities import needs_ascii
from novacron_tui.terminal.qr_code import drawn

APP_CODE = "Code that the app shows now: "
ANY_CODE = "Code of your authenticator app, or a recovery code: "


async def show(client: Client, output: Output) -> None:
    """Show whether there is a second factor."""
    found = await client.call(second_factor.GET)
    if output.is_data:
        show_data(output, found)
        return
    left = found.recovery_codes_left if found.enabled else None
    pairs = [("second factor", "on" if found.enabled else "off"), ("required here", "yes" if found.required else "no")]
    show_pairs([*pairs, ("since", found.since), ("recovery codes left", left)])


async def set_up(client: Client, output: Output) -> None:
    """Set the second factor up. Raises Forbidden, Conflict, and ValidationFailed for a wrong code: begin again then."""
    name = (await client.call(access.VALIDATE)).user.username
    password = secret(f"Password for {name}: ", "the password")
    begun = await client.call(second_factor.BEGIN, body=second_factor.BeginTotp(password=password))
    if output.is_data:
        show_data(output, begun)
    else:
        _show_secret(begun)
    sys.stdout.flush()
    code = secret(APP_CODE, "the code").strip()
    made = await client.call(second_factor.CONFIRM, body=second_factor.ConfirmTotp(code=code))
    if output.is_data:
        show_data(output, made)
        return
    print_line("Your second factor is on, and your other sessions have ended.")
    print_line("Keep these recovery codes where only you can read them. Each signs in once.")
    for each in made.recovery_codes:
        print_line(f"  {each}")


async def turn_off(client: Client) -> None:
    """Turn the second factor off. Raises Forbidden, Conflict."""
    name = (await client.call(access.VALIDATE)).user.username
    password = secret(f"Password for {name}: ", "the password")
    code = secret(ANY_CODE, "the code").strip()
    await client.call(second_factor.END, body=second_factor.EndTotp(password=password, code=code))
    print_line("Your second factor is off, and your other sessions have ended")


def _show_secret(begun: second_factor.TotpSecret) -> None:
    if sys.stdout.isatty():
        for line in drawn(begun.uri, ascii_only=needs_ascii(sys.stdout)):
            print_styled(line)
        print_line_now(f"Scan this with an authenticator app, or type its secret: {begun.secret}")
    else:
        print_line(f"secret  {begun.secret}")
        print_line_now(f"uri  {begun.uri}")
