"""The language server as an editor talks to it: a process, frames of JSON over its standard streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

COMMAND = str(Path(sys.executable).with_name("cloister"))
URI = "file:///work/%F0%9F%98%80/plan.rtfs"
TEXT = '(defn f "Doc \N{GRINNING FACE}." [a b] (+ a b))\n"\N{GRINNING FACE}" (foo who)\n(f 1 2)\n'


class Editor:
    """The other side of the protocol."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._in: IO[bytes] = process.stdin
        self._out: IO[bytes] = process.stdout
        self._id = 0
        self._version = 0
        self.notices: list[dict[str, Any]] = []

    def send_raw(self, body: bytes) -> None:
        self._in.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._in.flush()

    def notify(self, method: str, **params: Any) -> None:
        self.send_raw(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def ask(self, method: str, **params: Any) -> Any:
        self._id += 1
        self.send_raw(json.dumps({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}).encode())
        while (message := self._receive()).get("id") != self._id:
            self.notices.append(message)
        assert "error" not in message, message
        return message["result"]

    def start(self, encodings: list[str], **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.ask(
            "initialize",
            processId=None,
            rootUri=None,
            capabilities={"general": {"positionEncodings": encodings}},
            initializationOptions=options,
        )
        self.notify("initialized")
        return result

    def write(self, text: str, uri: str = URI) -> None:
        self._version += 1
        document = {"uri": uri, "version": self._version}
        if self._version == 1:
            self.notify("textDocument/didOpen", textDocument=document | {"languageId": "rtfs", "text": text})
        else:
            self.notify("textDocument/didChange", textDocument=document, contentChanges=[{"text": text}])

    def diagnostics(self) -> list[dict[str, Any]]:
        """Return the next diagnostics of the newest version of the text."""
        while True:
            message = self.notices.pop(0) if self.notices else self._receive()
            params = message.get("params", {})
            if message.get("method") == "textDocument/publishDiagnostics" and params.get("version") == self._version:
                found: list[dict[str, Any]] = params["diagnostics"]
                return found

    def at(self, method: str, line: int, character: int) -> Any:
        return self.ask(
            f"textDocument/{method}", textDocument={"uri": URI}, position={"line": line, "character": character}
        )

    def stop(self) -> int:
        self.ask("shutdown")
        self.notify("exit")
        return self.process.wait(20)

    def _receive(self) -> dict[str, Any]:
        size = 0
        while (line := self._out.readline()) not in {b"\r\n", b""}:
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        assert size, "the server ended"
        message: dict[str, Any] = json.loads(self._out.read(size))
        return message


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    process = subprocess.Popen(
        [COMMAND, "lsp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"CLOISTER_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
    )
    with process:
        yield Editor(process)
        process.kill()


def place(start: tuple[int, int], end: tuple[int, int]) -> dict[str, dict[str, int]]:
    return {
        "start": {"line": start[0], "character": start[1]},
        "end": {"line": end[0], "character": end[1]},
    }


def test_problems_are_shown_where_they_stand_in_utf_16(editor: Editor) -> None:
    assert editor.start(["utf-16"])["capabilities"]["positionEncoding"] == "utf-16"
    editor.write(TEXT)
    found = editor.diagnostics()
    assert [(each["code"], each["range"]) for each in found] == [
        ("compile.unknown-name", place((1, 6), (1, 9))),
        ("compile.unknown-name", place((1, 10), (1, 13))),
    ]
    assert all(each["severity"] == 1 and each["source"] == "cloister" for each in found)
    editor.write(TEXT.replace("(foo who)", "(f 1 2)"))
    assert editor.diagnostics() == []
    assert editor.stop() == 0


def test_columns_are_counted_in_the_units_of_the_editor(editor: Editor) -> None:
    encoding = editor.start(["utf-32", "utf-8"])["capabilities"]["positionEncoding"]
    column = {"utf-32": 5, "utf-8": 8}[encoding]
    editor.write(TEXT)
    assert editor.diagnostics()[0]["range"] == place((1, column), (1, column + 3))


def test_inputs_of_the_client_are_known_names(editor: Editor) -> None:
    editor.start(["utf-16"], inputs=["who", 5])
    editor.write("(str who)")
    assert editor.diagnostics() == []


def test_all_problems_of_calls_are_shown(editor: Editor) -> None:
    editor.start(["utf-16"])
    editor.write('(call :ccos.io.read-fil "x")\n(call :ccos.io.read-file 1 2)')
    assert [each["code"] for each in editor.diagnostics()] == ["denied.unknown-capability", "guest.arity"]


def test_hover_shows_documentation(editor: Editor) -> None:
    editor.start(["utf-16"])
    editor.write(TEXT + '(reduce + [1])\n(call :ccos.io.read-file "x")')
    own = editor.at("hover", 2, 1)
    assert own["contents"]["value"] == "```rtfs\n(f a b)\n```\n\nDoc \N{GRINNING FACE}."
    assert own["range"] == place((2, 1), (2, 2))
    assert "(reduce f init? coll)" in editor.at("hover", 3, 4)["contents"]["value"]
    assert "ccos.io.read-file path" in editor.at("hover", 4, 12)["contents"]["value"]
    assert editor.at("hover", 99, 99) is None


def test_completion_replaces_the_word_that_was_begun(editor: Editor) -> None:
    editor.start(["utf-16"])
    editor.write('"\N{GRINNING FACE}" (let [reduced 1] (redu')
    items = editor.at("completion", 0, 27)["items"]
    assert [item["label"] for item in items][:2] == ["reduced", "reduce"]
    assert items[0]["textEdit"] == {"newText": "reduced", "range": place((0, 23), (0, 27))}
    editor.write("(call :ccos.io.read")
    offered = {item["label"] for item in editor.at("completion", 0, 19)["items"]}
    assert ":ccos.io.read-file" in offered
    assert "reduce" not in offered


def test_symbols_and_definitions(editor: Editor) -> None:
    editor.start(["utf-16"])
    editor.write(TEXT)
    (symbol,) = editor.ask("textDocument/documentSymbol", textDocument={"uri": URI})
    assert (symbol["name"], symbol["detail"]) == ("f", "[a b]")
    assert symbol["selectionRange"] == place((0, 6), (0, 7))
    assert editor.at("definition", 2, 1) == {"uri": URI, "range": place((0, 6), (0, 7))}
    assert editor.at("definition", 0, 0) is None


def test_a_document_that_is_not_open_is_not_read(editor: Editor, tmp_path: Path) -> None:
    secret = tmp_path / "secret.rtfs"
    secret.write_text("(defn secret [] 1)", encoding="utf-8")
    editor.start(["utf-16"])
    document = {"uri": secret.as_uri()}
    assert editor.ask("textDocument/documentSymbol", textDocument=document) == []
    assert editor.ask("textDocument/hover", textDocument=document, position={"line": 0, "character": 7}) is None
    completed = editor.ask("textDocument/completion", textDocument=document, position={"line": 0, "character": 7})
    assert completed["items"] == []


def test_formatting_lays_the_text_out(editor: Editor) -> None:
    editor.start(["utf-16"])
    options = {"tabSize": 2, "insertSpaces": True}
    editor.write('(defn  f [x]\n(str "\N{GRINNING FACE}"   x))')
    (edit,) = editor.ask("textDocument/formatting", textDocument={"uri": URI}, options=options)
    assert edit == {"range": place((0, 0), (1, 15)), "newText": '(defn f [x]\n  (str "\N{GRINNING FACE}" x))\n'}
    editor.write(edit["newText"])
    assert editor.ask("textDocument/formatting", textDocument={"uri": URI}, options=options) == []
    editor.write("(defn f [x")
    assert editor.ask("textDocument/formatting", textDocument={"uri": URI}, options=options) is None


def test_modules_beside_the_document_are_known(editor: Editor, tmp_path: Path) -> None:
    module = tmp_path / "shapes.rtfs"
    module.write_text('(module shapes (:exports [area])\n  (defn area "Of a box." [w h] (* w h)))', encoding="utf-8")
    uri = (tmp_path / "plan.rtfs").as_uri()
    editor.start(["utf-16"])
    editor.write("(import shapes :as s)\n(s/area 1 2)", uri)
    assert editor.diagnostics() == []
    at = {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 4}}
    assert editor.ask("textDocument/definition", **at) == {"uri": module.as_uri(), "range": place((1, 8), (1, 12))}
    assert "Of a box." in editor.ask("textDocument/hover", **at)["contents"]["value"]
    module.write_text("(module shapes (:exports [area])\n  (defn area [w h] (foo)))", encoding="utf-8")
    editor.write("(import shapes :as s)\n(s/area 1  2)", uri)
    (problem,) = editor.diagnostics()
    assert problem["range"] == place((0, 0), (0, 0))
    assert problem["message"].startswith(f"{module}:2:")


def test_macros_are_expanded_within_limits(editor: Editor) -> None:
    editor.start(["utf-16"])
    editor.write("(defmacro forever [] (loop [] (recur)))\n(forever)")
    found = editor.diagnostics()
    assert found
    editor.write("(defmacro one [] 1)\n(one)")
    assert editor.diagnostics() == []


def test_closing_takes_the_problems_away(editor: Editor) -> None:
    editor.start(["utf-16"])
    editor.write("(foo)")
    assert len(editor.diagnostics()) == 1
    editor.notify("textDocument/didClose", textDocument={"uri": URI})
    editor.ask("textDocument/documentSymbol", textDocument={"uri": URI})
    assert [each["params"]["diagnostics"] for each in editor.notices] == [[]]


HOSTILE: list[tuple[str, Callable[[], str]]] = [
    ("parentheses", lambda: "(" * 10**6),
    ("quotes", lambda: "'" * 10**6),
    ("an open string", lambda: '"' + "\\" * 10**6),
    ("half a surrogate pair", lambda: "(str \ud800 \udc00)"),
    ("controls", lambda: "".join(map(chr, range(0x20))) * 100),
    ("a loop", lambda: "(loop [] (recur))"),
    ("deep recursion", lambda: "(defn f [x] (f (f x))) (f 1)"),
    ("lines of other systems", lambda: "a\rb\x0bc\u2028d\r\ne"),
]


@pytest.mark.parametrize(("name", "make"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_every_text_leaves_the_server_alive(editor: Editor, name: str, make: Callable[[], str]) -> None:
    editor.start(["utf-16"])
    editor.write(make())
    assert isinstance(editor.diagnostics(), list)
    for method in ("hover", "completion", "definition"):
        editor.at(method, 0, 5)
    editor.write("(foo)")
    assert [each["code"] for each in editor.diagnostics()] == ["compile.unknown-name"]
    assert editor.stop() == 0


def test_messages_that_are_none_leave_the_server_alive(editor: Editor) -> None:
    editor.start(["utf-16"])
    editor.send_raw(b"{not json")
    editor.send_raw(b'{"jsonrpc": "2.0", "id": 900, "method": "textDocument/hover", "params": {"nonsense": 1}}')
    editor.write("(foo)")
    assert len(editor.diagnostics()) == 1


def test_only_the_last_of_quick_changes_is_diagnosed(editor: Editor) -> None:
    editor.start(["utf-16"])
    for end in range(1, 8):
        editor.write("(f 1 2)"[:end])
    assert [each["code"] for each in editor.diagnostics()] == ["compile.unknown-name"]
    assert not [each for each in editor.notices if each.get("method") == "textDocument/publishDiagnostics"]


WITHOUT_PYGLS = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "pygls" else super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
sys.argv = ["cloister", "lsp"]
from cloister.cli.main import main
main()
"""


def test_without_its_package_it_says_how_to_install_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PYGLS], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error[config.extra]" in done.stderr
    assert 'pip install "cloister[lsp]"' in done.stderr
