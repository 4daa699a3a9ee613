"""A site that changes the shape of its answers: whatever JSON it sends, rewritten on its way out."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from csmv.pipeline.demo.sandbox.answers import Answer

Alteration = Callable[[str, dict[str, Any]], None]
"""Changes an answer in place; called with the path that was asked for and the JSON object of the answer or page."""

_DATA = re.compile(rb'(<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">)(.*?)(</script>)', re.S)


def altered(answer: Answer, path: str, alter: Alteration) -> Answer:
    """The answer as the site would send it in its new shape; one without JSON stays as it is."""
    match = _DATA.search(answer.body)
    try:
        data = json.loads(match[2] if match else answer.body)
    except ValueError:
        return answer
    if not isinstance(data, dict):
        return answer
    alter(path, data)
    text = json.dumps(data, ensure_ascii=False)
    if match is None:
        return replace(answer, body=text.encode())
    escaped = text.replace("</", "<\\u002f").encode()
    return replace(answer, body=answer.body[: match.start(2)] + escaped + answer.body[match.end(2) :])
