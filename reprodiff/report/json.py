"""The JSON report (`reprodiff.report/1`)."""

import json
from typing import Any


def render(report: dict[str, Any]) -> str:
    """Return the report as JSON text, ASCII only: escapes keep control and bidirectional characters harmless."""
    return json.dumps(report, indent=1) + "\n"
