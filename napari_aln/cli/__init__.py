"""The command line. This package imports nothing heavy; each command imports what it needs when it runs."""

from __future__ import annotations

import os
import signal
import sys

from napari_aln.cli.exit_codes import BAD_INPUT, INTERRUPTED


def main() -> None:
    """Run the command line; errors end as one line on stderr and exit code 2."""
    # A cluster's stop is a user's stop: what was read is kept, see `progress.run`.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from napari_aln.errors import AlnError

    try:
        from napari_aln.cli.app import app

        app()
    except KeyboardInterrupt:  # while the program was still loading
        sys.exit(INTERRUPTED)
    except AlnError as error:
        _end(str(error))
    except OSError as error:  # of a look at a file, as in a folder that may not be entered
        if error.filename is None:
            raise
        _end(
            f"{os.fsdecode(error.filename)} cannot be reached ({error.strerror}). Check the name, the "
            "permissions on it and on the folders above it, and that the drive is there."
        )


def _end(why: str) -> None:
    print(f"Error: {why}", file=sys.stderr)  # noqa: T201
    sys.exit(BAD_INPUT)
