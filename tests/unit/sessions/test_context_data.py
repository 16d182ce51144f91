"""The process of a session gets the whole context, not only its grants."""

from __future__ import annotations

import json

from cloister.authority.context import RuntimeContext
from cloister.authority.rules import parse_rules
from cloister.sessions.start import _context_data, context_from


def test_nothing_of_a_context_is_lost_on_the_way() -> None:
    context = RuntimeContext.controlled(
        capabilities=["cloister.exec", "ccos.*"],
        deny=["ccos.io.*"],
        deny_effects=[":network"],
        rules=parse_rules([{"id": "r", "capability": "ccos.*", "action": "deny"}]),
        read=["/srv"],
        environment={"A": "1"},
    )
    for each in (context, RuntimeContext.unsafe_everything(environment={"A": "1"}).narrow(deny=["ccos.io.*"])):
        assert context_from(json.loads(json.dumps(_context_data(each)))) == each
