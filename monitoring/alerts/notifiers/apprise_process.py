"""The process in which apprise runs: one message from standard input, one word to standard output."""

from __future__ import annotations

import json
import logging
import sys


def main() -> None:
    """Send what standard input holds as JSON: url, title, body and timeout in seconds."""
    import apprise

    # At DEBUG it would log what it sends.
    logging.disable(logging.CRITICAL)
    order = json.load(sys.stdin)
    service = apprise.Apprise()
    if not service.add(order["url"]):
        print("URL")
        return
    result = service.notify(title=order["title"], body=order["body"], timeout=order["timeout"])
    print(result.status.name)


if __name__ == "__main__":
    main()
