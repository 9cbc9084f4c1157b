"""``simsens completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script by which a shell completes simsens.

    \b
    eval "$(simsens completion bash)"                          (in ~/.bashrc)
    eval "$(simsens completion zsh)"                           (in ~/.zshrc)
    simsens completion fish > ~/.config/fish/completions/simsens.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    from simsens.cli.main import group

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(group, {}, "simsens", "_SIMSENS_COMPLETE").source())
    return 0
