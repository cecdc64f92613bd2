"""`millions completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

INTO = {
    "bash": 'eval "$(millions completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(millions completion zsh)"   in ~/.zshrc',
    "fish": "millions completion fish | source   in ~/.config/fish/config.fish",
}


@click.command("completion", epilog="  ".join(INTO.values()))
@click.argument("shell", type=click.Choice(sorted(INTO)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}", ctx)
    script = kind(ctx.find_root().command, {}, "millions", "_MILLIONS_COMPLETE").source()
    click.echo(f"# {INTO[shell]}\n{script}")
