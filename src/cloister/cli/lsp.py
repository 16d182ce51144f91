"""`cloister lsp`."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from cloister.cli.options import InputNames, ModulePathOption, input_names
from cloister.cli.output import reporting
from cloister.errors import ConfigError


def lsp(inputs: InputNames = None, module_path: ModulePathOption = None) -> None:
    """Serve an editor over standard input and output."""
    with reporting(as_json=False):
        if find_spec("pygls") is None:
            raise ConfigError(
                "the language server needs the package pygls, which is not installed",
                code="config.extra",
                hint='pip install "cloister[lsp]"',
            )
        from cloister.editor.server import serve  # noqa: PLC0415

        out = sys.stdout
        sys.stdout = sys.stderr  # nothing but messages of the protocol may stand in the output
        try:
            serve(input_names(inputs), module_path or ())
        finally:
            sys.stdout = out
