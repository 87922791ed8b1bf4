"""Pages for people: the option that asks for one, and how it is written."""

from pathlib import Path

import click

html_option = click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write a page for people there: one file, no script, nothing loaded from elsewhere.",
)


def write_page(file: Path, text: str) -> None:
    """Write a page; where that cannot be, it is wrong use."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(
            f"{file} cannot be written: {error.strerror}", param_hint="--html"
        ) from error
    click.echo(f"Wrote {file}.", err=True)
