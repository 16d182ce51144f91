"""`cloister doc`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.stdlib.table import BUILTINS

COMMAND = str(Path(sys.executable).with_name("cloister"))
Cloister = Callable[..., Any]


def test_a_function_is_shown_with_what_it_does(cloister: Cloister) -> None:
    shown = cloister("doc", "reduce").out
    assert shown.startswith("(reduce f init? coll)\n\n  Combine all elements")
    assert "function, functions over collections" in shown


def test_a_form_is_shown_with_an_example(cloister: Cloister) -> None:
    shown = cloister("doc", "if-let").out
    assert shown.startswith("(if-let [name value] then else?)\n")
    assert "    (if-let [x (get {:a 1} :a)] (inc x) 0)  ;=> 2\n" in shown


def test_several_names_are_shown_in_order(cloister: Cloister) -> None:
    shown = cloister("doc", "map", "let").out
    assert shown.index("(map f") < shown.index("(let [")


@pytest.mark.parametrize("name", ["-", "->", "->>", "+", "=", "/", "<="])
def test_names_that_look_like_options_are_names(cloister: Cloister, name: str) -> None:
    done = cloister("doc", name)
    assert (done.status, done.out.split(" ")[0]) == (0, f"({name}")


def test_without_a_name_all_are_listed_by_topic(cloister: Cloister) -> None:
    words = cloister("doc").out.split()
    assert {*BUILTINS, *SPECIAL_FORMS} <= set(words)
    assert all(len(line) <= 100 for line in cloister("doc").out.splitlines())


def test_a_misspelt_name_gets_suggestions(cloister: Cloister) -> None:
    done = cloister("doc", "redcue")
    assert (done.status, done.out) == (2, "")
    assert "error[input.name]" in done.err
    assert "did you mean reduce" in done.err


def test_a_capability_is_shown_by_another_command(cloister: Cloister) -> None:
    done = cloister("doc", ":ccos.io.println")
    assert done.status == 2
    assert "cloister capabilities ccos.io.println" in done.err


def test_search_lists_names_with_their_sentences(cloister: Cloister) -> None:
    done = cloister("doc", "--search", "json")
    assert done.status == 0
    assert done.out.startswith("parse-json  ")
    assert cloister("doc", "--search", "zebra").status == 2


def test_json_has_everything(cloister: Cloister) -> None:
    (entry,) = cloister("doc", "if-let", "--json").data["entries"]
    assert (entry["name"], entry["kind"]) == ("if-let", "form")
    assert entry["examples"] == ["(if-let [x (get {:a 1} :a)] (inc x) 0) ;=> 2"]
    names = {entry["name"] for entry in cloister("doc", "--json").data["entries"]}
    assert names == {*BUILTINS, *SPECIAL_FORMS}
    wrong = cloister("doc", "redcue", "--json")
    assert (wrong.status, wrong.data["error"]["code"]) == (2, "input.name")


def test_names_complete(home: Path) -> None:
    environment = os.environ | {
        "_CLOISTER_COMPLETE": "complete_bash", "COMP_WORDS": "cloister doc redu", "COMP_CWORD": "2",
    }  # fmt: skip
    done = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, check=False)
    assert "reduce" in done.stdout.split()
    assert all(word.startswith("redu") for word in done.stdout.split())
