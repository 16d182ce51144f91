"""`python -m cloister.audit CHAIN KEY`: the verifier by itself.

Owns its command line. It needs the standard library, `cryptography`, and of Cloister only this package, the canonical
encoding and the errors, so that an auditor reads little to know what was checked. It opens nothing but the two files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cloister.audit.head_text import parse_head
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.errors import CloisterError


def main(arguments: list[str] | None = None) -> int:
    """Verify a chain and say what it holds; return the exit status, 0 or that of the error's class."""
    parser = argparse.ArgumentParser(prog="python -m cloister.audit", description="Verify a causal chain.")
    parser.add_argument("chain", type=Path, help="the chain: a file chain.sqlite3")
    parser.add_argument("key", type=Path, help="the public key in PEM, from somewhere else than the chain")
    parser.add_argument(
        "--expect", action="append", default=[], metavar="COUNT:SHA256", help="a head noted earlier; may be repeated"
    )
    options = parser.parse_args(arguments)
    try:
        expected = [parse_head(text) for text in options.expect]
        report = verify_chain(options.chain, PublicKey.load(options.key), expected=expected)
    except CloisterError as error:
        sys.stderr.write(f"error[{error.code}]: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  help: {error.hint}\n")
        return error.exit_status
    sys.stdout.write(f"verified: {report.count} records of {report.runs_count} runs, signed with key {report.key_id}\n")
    sys.stdout.write(f"head: {report.count}:{report.head_sha256}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
