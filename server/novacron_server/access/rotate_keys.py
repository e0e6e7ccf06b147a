"""`novacron rotate-keys` / `python -m novacron_server.access.rotate_keys`: sign access tokens with a new key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from novacron_core.errors import NovaCronError
from novacron_core.local_server import default_data_dir
from novacron_server.access.keys import Keys

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def rotate_keys(
    data_dir: Annotated[
        Path | None, typer.Option(envvar="NOVACRON_DATA_DIR", help="Data directory of the server.")
    ] = None,
) -> None:
    """Sign access tokens with a new key from now on. Tokens of the previous key stay valid until they expire; run it
    twice to refuse all access tokens issued before. A running server uses the new key within seconds."""
    file = (data_dir or default_data_dir()) / "secrets.json"
    if not file.is_file():
        typer.echo(
            f"novacron rotate-keys: {file.parent} is not the data directory of a server: no secrets.json", err=True
        )
        raise typer.Exit(1)
    try:
        keys = Keys(file, by_age=False)
        keys.rotate()
    except (NovaCronError, OSError) as e:
        typer.echo(f"novacron rotate-keys: {e}", err=True)
        raise typer.Exit(1) from e
    typer.echo(f"Signing with the new key {keys.current.kid}")


if __name__ == "__main__":
    sys.exit(app(prog_name="novacron rotate-keys"))
