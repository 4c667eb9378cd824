"""The process: run the command line. A bug in decay-audit exits with 3, so that it is never taken for a finding."""

import gc
import sys
import warnings


def main() -> None:
    """Run decay-audit."""
    gc.set_threshold(100_000, 50, 100)  # many objects live until the end: searching them for cycles is slow
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy")  # torch works without it, and so do we
    from decay_audit.cli import app

    try:
        app()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  (the outermost frame; some exceptions, such as pytest's skip, derive from BaseException)
        import traceback

        traceback.print_exc()
        print(
            f"\nerror: this is a bug in decay-audit ({type(error).__name__}); please report it with the lines above",
            file=sys.stderr,
        )
        sys.exit(3)


if __name__ == "__main__":
    main()
