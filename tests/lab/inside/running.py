"""Runs one scenario in the outer machine: whatever it returns is written as JSON, on the last line."""

import faulthandler
import importlib
import json
import sys

sys.path[:0] = ["/lab", "/lab/src"]


def main() -> None:
    faulthandler.dump_traceback_later(240, exit=True)
    module = importlib.import_module(sys.argv[1])
    try:
        figures = getattr(module, sys.argv[2])()
    except Exception as error:
        render = getattr(error, "render", None)
        if render is not None:
            print(render(), error.details, flush=True)
        raise
    print(json.dumps(figures or {}))


if __name__ == "__main__":
    main()
