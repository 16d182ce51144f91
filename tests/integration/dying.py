"""Runs whose process is killed in the middle of a call, for the tests of runs that go on and of approvals.

Every capability is the built-in one, so that the real command can let the run go on. Only in the process that is
killed one of them does its work, or not, and then ends that process as the power would.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloister.authority.context import RuntimeContext
from cloister.capabilities.capability import Invocation
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.clock import Clock
from cloister.lang.values import Value
from cloister.runtime import Runtime

MAKES: str = "ccos.io.mkdir"
"""A capability whose contract is that a person decides whether it is called again."""
PRINTS: str = "ccos.io.println"


def deadly(capability_id: str, *, acts: bool) -> Catalog:
    """Return the built-in capabilities, one of which kills its process.

    Args:
        capability_id: That one.
        acts: Whether it does its work first.
    """
    catalog = builtin_catalog()
    fatal = catalog.capabilities[capability_id]

    def run(call: Invocation) -> Value:
        if acts:
            fatal.run(call)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    capabilities = {**catalog.capabilities, capability_id: replace(fatal, run=run)}
    return replace(catalog, capabilities=capabilities)


def killed(
    home: Path,
    plan: str | Path,
    context: RuntimeContext,
    *,
    capability_id: str = MAKES,
    acts: bool = False,
    provider: str = "mock",
    inputs: dict[str, Any] | None = None,
    clock: Clock | None = None,
) -> str:
    """Run a plan in a process of its own that is killed in the middle of a call; return the run.

    Raises:
        ChildProcessError: It ended in another way.
    """
    child = os.fork()
    if child == 0:
        try:
            with Runtime.open(home, catalog=deadly(capability_id, acts=acts), clock=clock) as runtime:
                runtime.run(plan, context=context, provider=provider, inputs=inputs)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        raise ChildProcessError(f"the process ended with status {status}")
    with Runtime.open(home) as runtime:
        return runtime.runs()[-1].run_id


def grants(place: Path, *more: str) -> RuntimeContext:
    """Return what the plans of these tests may do: print, and make directories in one place."""
    return RuntimeContext.controlled(capabilities=[MAKES, PRINTS, *more], write=[str(place)])
