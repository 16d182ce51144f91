"""The language server: what editors ask, answered over standard input and output.

Owns the translation between the Language Server Protocol and the rest of this package. Texts come only from the editor:
the server opens no document by itself, runs nothing of a plan, and calls no capability. It reads the modules a document
imports, from the document's directory and those named at the start. Whatever a document holds, the
answer is a list, possibly empty. Needs `pygls`, which `cloister[lsp]` installs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from cloister.editor import assist
from cloister.editor.diagnostics import Problem, problems
from cloister.editor.positions import Positions
from cloister.editor.scan import Definition, definitions
from cloister.errors import CloisterError
from cloister.lang.formatter.format import format_text
from cloister.plan.module_files import ModuleFiles
from cloister.version import VERSION

NAME: Final = "cloister"
QUIET_SECONDS: Final = 0.15
"""How long typing must pause before a text is compiled again."""

_ITEM_KINDS: Final = {
    "form": lsp.CompletionItemKind.Keyword,
    "function": lsp.CompletionItemKind.Function,
    "capability": lsp.CompletionItemKind.Interface,
    "definition": lsp.CompletionItemKind.Function,
    "local": lsp.CompletionItemKind.Variable,
}
_SYMBOL_KINDS: Final = {
    "def": lsp.SymbolKind.Variable,
    "defstruct": lsp.SymbolKind.Struct,
    "deftype": lsp.SymbolKind.Class,
    "module": lsp.SymbolKind.Module,
}


class RtfsServer(LanguageServer):
    """A server for RTFS.

    Args:
        inputs: Names that every plan may use as inputs, besides those the client names when it starts.
        module_paths: Directories modules are looked for in, after that of the document.
    """

    def __init__(self, inputs: Collection[str] = (), module_paths: Sequence[Path] = ()) -> None:
        # Whole texts: what pygls takes for the end of a line in a change is more than what the protocol does
        super().__init__(NAME, VERSION, text_document_sync_kind=lsp.TextDocumentSyncKind.Full)
        self.inputs = frozenset(inputs)
        self._module_paths = tuple(module_paths)
        self._pending: dict[str, asyncio.Task[None]] = {}
        for method, handler in _FEATURES.items():
            options = _OPTIONS.get(method)
            self.feature(method, *([options] if options else []))(partial(handler, self))

    def text_of(self, uri: str) -> str | None:
        """Return the text of a document the editor has open; None for any other, which is never read from disk."""
        document = self.workspace.text_documents.get(unquote(uri)) or self.workspace.text_documents.get(uri)
        return document.source if document is not None else None

    def positions(self, text: str) -> Positions:
        """Return the lines of a text in the units the client chose."""
        encoding = self.workspace.position_encoding
        return Positions(text, getattr(encoding, "value", encoding) or "utf-16")

    def modules(self, uri: str) -> ModuleFiles:
        """Return the modules that a document can import."""
        path = _path(uri)
        return ModuleFiles((*((path.parent,) if path is not None else ()), *self._module_paths))

    def look_soon(self, uri: str) -> None:
        """Diagnose a document once it has been left alone for a moment."""
        self.forget(uri)
        self._pending[uri] = asyncio.get_running_loop().create_task(self._look(uri))

    def forget(self, uri: str) -> None:
        """Do not diagnose a document after all."""
        task = self._pending.pop(uri, None)
        if task is not None:
            task.cancel()

    async def _look(self, uri: str) -> None:
        await asyncio.sleep(QUIET_SECONDS)
        text = self.text_of(uri)
        if text is None:
            return
        found = await asyncio.to_thread(problems, text, _name(uri), self.inputs, self.modules(uri))
        if self.text_of(uri) == text:
            lines = self.positions(text)
            self._publish(uri, [_diagnostic(problem, lines, _name(uri)) for problem in found])

    def _publish(self, uri: str, found: list[lsp.Diagnostic]) -> None:
        document = self.workspace.text_documents.get(unquote(uri))
        version = document.version if document is not None else None
        self.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri=uri, diagnostics=found, version=version)
        )

    def clear(self, uri: str) -> None:
        """Take the diagnostics of a document away."""
        self.forget(uri)
        self._publish(uri, [])


def _path(uri: str) -> Path | None:
    """Return the file of a document; None for one that lies nowhere."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def _name(uri: str) -> str:
    path = _path(uri)
    return path.name if path is not None else "document"


def _range(lines: Positions, start: int, end: int) -> lsp.Range:
    return lsp.Range(start=lsp.Position(*lines.position(start)), end=lsp.Position(*lines.position(end)))


def _diagnostic(problem: Problem, lines: Positions, name: str) -> lsp.Diagnostic:
    line, column, end_line, end_column = problem.place or (1, 1, 1, 1)
    message = problem.message
    if problem.source != name:  # of a module: it cannot be shown where it stands, but where it matters
        message = f"{problem.source}:{line}:{column}: {message}"
        line = column = end_line = end_column = 1
    start, end = lines.offset_of_span(line, column), lines.offset_of_span(end_line, end_column)
    return lsp.Diagnostic(
        range=_range(lines, start, max(start, end)),
        severity=lsp.DiagnosticSeverity.Warning if problem.is_warning else lsp.DiagnosticSeverity.Error,
        code=problem.code,
        source=NAME,
        message=message + (f"\nhelp: {problem.hint}" if problem.hint else ""),
    )


def _initialized(server: RtfsServer, params: lsp.InitializeParams) -> None:
    options = params.initialization_options
    names = options.get("inputs") if isinstance(options, dict) else None
    if isinstance(names, list):
        server.inputs |= {name for name in names if isinstance(name, str)}


def _opened(server: RtfsServer, params: lsp.DidOpenTextDocumentParams) -> None:
    server.look_soon(params.text_document.uri)


def _changed(server: RtfsServer, params: lsp.DidChangeTextDocumentParams) -> None:
    server.look_soon(params.text_document.uri)


def _closed(server: RtfsServer, params: lsp.DidCloseTextDocumentParams) -> None:
    server.clear(params.text_document.uri)


def _hover(server: RtfsServer, params: lsp.HoverParams) -> lsp.Hover | None:
    text = server.text_of(params.text_document.uri)
    if text is None:
        return None
    lines = server.positions(text)
    offset = lines.offset(params.position.line, params.position.character)
    found = assist.explanation(text, offset, server.modules(params.text_document.uri))
    if found is None:
        return None
    parts = [_fenced(found.signature), found.doc, _fenced("\n".join(found.examples)) if found.examples else ""]
    content = lsp.MarkupContent(kind=lsp.MarkupKind.Markdown, value="\n\n".join(part for part in parts if part))
    return lsp.Hover(contents=content, range=_range(lines, found.start, found.end))


def _fenced(code: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in code.split() if set(run) == {"`"}), default=0))
    return f"{fence}rtfs\n{code}\n{fence}"


def _complete(server: RtfsServer, params: lsp.CompletionParams) -> lsp.CompletionList:
    text = server.text_of(params.text_document.uri)
    if text is None:
        return lsp.CompletionList(is_incomplete=False, items=[])
    lines = server.positions(text)
    offset = lines.offset(params.position.line, params.position.character)
    word = assist.word_before(text, offset)
    replaced = _range(lines, word.start if word else offset, offset)
    items = [
        lsp.CompletionItem(
            label=each.text,
            kind=_ITEM_KINDS[each.kind],
            detail=each.signature or None,
            documentation=lsp.MarkupContent(kind=lsp.MarkupKind.Markdown, value=each.doc) if each.doc else None,
            sort_text=f"{index:04}",
            filter_text=each.text,
            text_edit=lsp.TextEdit(range=replaced, new_text=each.text),
        )
        for index, each in enumerate(assist.candidates(text, offset))
    ]
    return lsp.CompletionList(is_incomplete=False, items=items)


def _symbols(server: RtfsServer, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    text = server.text_of(params.text_document.uri)
    if text is None:
        return []
    lines = server.positions(text)
    return [_symbol(lines, each) for each in definitions(text)]


def _symbol(lines: Positions, definition: Definition) -> lsp.DocumentSymbol:
    return lsp.DocumentSymbol(
        name=definition.name,
        detail=definition.parameters or definition.form,
        kind=_SYMBOL_KINDS.get(definition.form, lsp.SymbolKind.Function),
        range=_range(lines, definition.form_start, definition.form_end),
        selection_range=_range(lines, definition.start, definition.end),
    )


def _definition(server: RtfsServer, params: lsp.DefinitionParams) -> lsp.Location | None:
    uri = params.text_document.uri
    text = server.text_of(uri)
    if text is None:
        return None
    lines = server.positions(text)
    offset = lines.offset(params.position.line, params.position.character)
    place = assist.definition_place(text, offset, server.modules(uri))
    if place is None:
        return None
    source, start, end = place
    if source is None:
        return lsp.Location(uri=uri, range=_range(lines, start, end))
    return lsp.Location(
        uri=Path(source.name).absolute().as_uri(), range=_range(server.positions(source.text), start, end)
    )


def _format(server: RtfsServer, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
    text = server.text_of(params.text_document.uri)
    if text is None:
        return None
    try:
        laid_out = format_text(text, _name(params.text_document.uri))
    except CloisterError:  # what is wrong with the text is among its diagnostics
        return None
    if laid_out == text:
        return []
    return [lsp.TextEdit(range=_range(server.positions(text), 0, len(text)), new_text=laid_out)]


_FEATURES: Final[dict[str, Any]] = {
    lsp.INITIALIZE: _initialized,
    lsp.TEXT_DOCUMENT_DID_OPEN: _opened,
    lsp.TEXT_DOCUMENT_DID_CHANGE: _changed,
    lsp.TEXT_DOCUMENT_DID_CLOSE: _closed,
    lsp.TEXT_DOCUMENT_HOVER: _hover,
    lsp.TEXT_DOCUMENT_COMPLETION: _complete,
    lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL: _symbols,
    lsp.TEXT_DOCUMENT_DEFINITION: _definition,
    lsp.TEXT_DOCUMENT_FORMATTING: _format,
}
_OPTIONS: Final[dict[str, Any]] = {
    lsp.TEXT_DOCUMENT_COMPLETION: lsp.CompletionOptions(trigger_characters=["(", ":", "."]),
}


def serve(inputs: Collection[str] = (), module_paths: Sequence[Path] = ()) -> None:
    """Serve the client on standard input and output until it leaves.

    The streams are duplicates of the process's own: `pygls` closes what it was given.

    Args:
        inputs: Names that every plan may use as inputs.
        module_paths: Directories modules are looked for in, after that of a document.
    """
    with os.fdopen(os.dup(0), "rb") as source, os.fdopen(os.dup(1), "wb") as target:
        RtfsServer(inputs, module_paths).start_io(stdin=source, stdout=target)
