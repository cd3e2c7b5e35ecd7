"""What a shell is told about completing this program's lines."""

from __future__ import annotations

from contextlib import suppress

_ZSH = """
#compdef %(prog_name)s

%(complete_func)s() {
  local line="${words[1,$CURRENT]}"
  compset -P '--*='
  eval $(env _TYPER_COMPLETE_ARGS="$line" %(autocomplete_var)s=complete_zsh %(prog_name)s)
}

if [[ "$funcstack[1]" == "_%(prog_name)s" ]]; then
  %(complete_func)s "$@"
else
  compdef %(complete_func)s %(prog_name)s
fi
"""


def mend_zsh() -> None:
    """Give zsh a script in place of typer's, which is right but for two things (seen in 0.29).

    zsh loads the script at the first Tab of a terminal and expects an answer at once: typer's only makes
    itself known, and nothing happens. And of ``--out=fol`` the value alone is to be completed.
    """
    with suppress(ImportError, AttributeError):  # typer's own inside, which may move
        from typer import _completion_shared

        _completion_shared._completion_scripts["zsh"] = _ZSH  # noqa: SLF001
