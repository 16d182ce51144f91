"""Coverage-guided fuzzing of everything that reads hostile text: reader, macros, resolver, types, effects, formatter.

Run it with `make fuzz FUZZ_SECONDS=600`. It looks for exceptions other than `CloisterError`, for text that reads back
differently after printing or formatting, and for text that takes longer than `SLOW_S`. An input that breaks one of
these is left in the working folder by the fuzzer and reported with its traceback.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cloister.lang"]):
    from cloister.errors import CloisterError
    from cloister.lang.formatter.format import format_text
    from cloister.lang.printer import form_to_text
    from cloister.lang.program import compile_program
    from cloister.lang.reader import read
    from cloister.lang.source import Source

ROOT = Path(__file__).parents[1]
SLOW_S = 10.0


def forms_text(text: str) -> list[str]:
    """Return the forms of a text, printed; the same for two texts that mean the same."""
    return [form_to_text(form) for form in read(Source("<fuzz>", text))]


def look_at(data: bytes) -> None:
    """Give one text to everything that reads text."""
    text = data.decode("utf-8", "replace")
    began = time.monotonic()
    try:
        forms = forms_text(text)
    except CloisterError:
        forms = None
    if forms is not None:
        again = forms_text("\n".join(forms))
        assert again == forms, "printing and reading changed the forms"
        formatted = format_text(text, "<fuzz>")
        assert forms_text(formatted) == forms, "formatting changed the forms"
        assert format_text(formatted, "<fuzz>") == formatted, "formatting twice changes the text"
    try:
        program = compile_program(text, "<fuzz>", ("given",))
        program.code()
    except CloisterError:
        pass
    assert time.monotonic() - began < SLOW_S, "this text takes too long"


def seeds() -> Sequence[bytes]:
    """Return every program the repository has: plans, golden lines and the observations."""
    texts = [path.read_bytes() for folder in ("examples", "tests") for path in sorted((ROOT / folder).rglob("*.rtfs"))]
    lines = [line for text in texts for line in text.splitlines() if line and not line.startswith(b";")]
    observed = (ROOT / "tests" / "conformance" / "observations.txt").read_bytes().splitlines()
    return [*texts, *lines, *(line.split(b"  =>  ")[0] for line in observed if b"  =>  " in line)]


def main() -> None:
    """Write the seeds and fuzz; arguments are the fuzzer's own, the first one is the folder of the corpus."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number:05}").write_bytes(seed)
    dictionary = corpus.parent / "words.dict"
    words = ["(", ")", "[", "]", "{", "}", "'", "`", "~", "~@", "#(", "^{", ":", "#|", "|#", "##NaN", "@x", "%1", "&"]
    words += ["defmacro", "match", "module", "import", "recur", "loop", ":keys", ":or", "defstruct", "step", "call"]
    dictionary.write_text("".join(f'"{word}"\n' for word in words), encoding="utf-8")
    atheris.Setup([sys.argv[0], f"-dict={dictionary}", "-max_len=2048", "-rss_limit_mb=4096", *sys.argv[1:]], look_at)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
