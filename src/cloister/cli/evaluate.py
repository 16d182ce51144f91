"""`cloister eval`."""

from __future__ import annotations

from typing import Annotated

import typer

from cloister.cli.options import InputOption, JsonOption, LimitOption, ModulePathOption, TimeoutOption
from cloister.cli.output import echo, echo_json, plain, reporting


def evaluate(
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="For example '(+ 1 2)'.", show_default=False)],
    inputs: InputOption = None,
    timeout: TimeoutOption = None,
    limit: LimitOption = None,
    module_path: ModulePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a pure expression; it can call nothing."""
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import parse_inputs  # noqa: PLC0415
    from cloister.lang.evaluate import evaluate as evaluate_source  # noqa: PLC0415
    from cloister.lang.printer import to_text  # noqa: PLC0415
    from cloister.lang.transport import from_python  # noqa: PLC0415
    from cloister.plan.module_files import ModuleFiles  # noqa: PLC0415

    with reporting(as_json=as_json):
        value = evaluate_source(
            expression,
            limits=parse_limits(timeout, None, limit),
            inputs=parse_inputs(inputs),
            modules=ModuleFiles(module_path or ()),
        )
        text = to_text(from_python(value))
    if as_json:
        echo_json({"ok": True, "value": plain(value), "value_text": text})
    else:
        echo(text)
