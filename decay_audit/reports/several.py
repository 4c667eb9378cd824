"""The reports of several audits in one document of their format."""

import json
from collections.abc import Sequence

from decay_audit.model.choices import Format


def join(texts: Sequence[str], format: Format) -> str:  # noqa: A002
    """Join documents: JSON becomes a list, of one too; SARIF one log with a run for each; CSV one table."""
    match format:
        case Format.JSON:
            return "[" + ",\n".join(text.rstrip("\n") for text in texts) + "]\n"
        case Format.SARIF:
            logs = [json.loads(text) for text in texts]
            log = {**logs[0], "runs": [run for one in logs for run in one["runs"]]}
            return json.dumps(log, indent=2) + "\n"
        case Format.CSV:
            return texts[0] + "".join(text.partition("\n")[2] for text in texts[1:])
        case Format.GITHUB:
            return "".join(texts)
        case _:
            return "\n".join(text for text in texts if text)
