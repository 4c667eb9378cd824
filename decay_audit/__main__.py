"""The process: run the command line, and make a bug of ours look like one (exit 3), never like a finding."""

import gc
import sys


def main() -> None:
    """Run decay-audit."""
    gc.set_threshold(100_000, 50, 100)  # a short life with many lasting values: searching them for cycles takes long
    from decay_audit.cli import app

    try:
        app()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  (the outermost frame; what tests skip with is no Exception)
        import traceback

        traceback.print_exc()
        print(
            f"\nerror: this is a bug in decay-audit ({type(error).__name__}); please report it with the lines above",
            file=sys.stderr,
        )
        sys.exit(3)


if __name__ == "__main__":
    main()
