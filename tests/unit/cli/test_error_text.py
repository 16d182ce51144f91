"""The rendering of an error's data."""

from __future__ import annotations

from cloister.cli.error_text import STDERR_LINES_MAX, error_text
from cloister.errors import CompileError, DeniedError, GuestError, Span

SPAN = Span(source="p.rtfs", line=2, column=3, end_line=2, end_column=6, text="  foo bar")


def test_place_stack_and_hint_are_shown_in_this_order() -> None:
    error = GuestError("it broke", span=SPAN, hint="mend it", trace=("f at p.rtfs:1:1",))
    assert error_text(error.to_dict()).splitlines() == [
        "error[guest.error]: it broke",
        "  --> p.rtfs:2:3",
        "   |   foo bar",
        "   |   ^^^",
        "   in f at p.rtfs:1:1",
        "  help: mend it",
    ]


def test_an_error_by_itself_is_what_the_error_says_of_itself() -> None:
    error = GuestError("it broke", span=SPAN, hint="mend it", trace=("f at p.rtfs:1:1",))
    assert error_text(error.to_dict()) == error.render()


def test_standard_error_is_bounded_and_cannot_draw() -> None:
    said = "\n".join([*(f"line {number}" for number in range(40)), "\x1b]0;title\x07"])
    error = GuestError("it broke", details={"stderr": said}, hint="the details hold the end of its standard error")
    first, title, *lines = error_text(error.to_dict()).splitlines()
    assert first == "error[guest.error]: it broke"
    assert "standard error" in title
    assert len(lines) == STDERR_LINES_MAX
    assert lines[0] == "   | line 31"
    assert "\x1b" not in lines[-1]
    assert "]0;title" in lines[-1]


def test_the_end_of_a_console_is_shown_and_cannot_draw() -> None:
    console = "\n".join(f"line {n} \x1b[2J" for n in range(50))
    data = {
        "code": "provider.crashed",
        "message": "it ended",
        "details": {"console": console},
        "hint": "look at its console",
    }
    lines = error_text(data).splitlines()
    assert lines[1] == "  console ended with:"
    assert len(lines) == 12
    assert lines[-1].startswith("   | line 49")
    assert "\x1b" not in "".join(lines)


def test_a_hint_that_says_more_is_kept_beside_standard_error() -> None:
    error = GuestError("it broke", details={"stderr": "x"}, hint="read it")
    assert error_text(error.to_dict()).endswith("   | x\n  help: read it")


def test_what_is_not_text_is_not_taken_for_standard_error() -> None:
    assert error_text(GuestError("it broke", details={"stderr": 3}).to_dict()) == "error[guest.error]: it broke"


def test_every_further_error_has_its_place_and_caret() -> None:
    more = CompileError("second", code="compile.unknown-name", span=SPAN).to_dict()
    also = DeniedError("third", span=SPAN, hint="grant it").to_dict()
    for name, other in (("more", more), ("also_refused", also)):
        shown = error_text(CompileError("first", details={name: [other]}).to_dict())
        assert shown.startswith("error[compile.form]: first\nerror[")
        assert "\n   |   foo bar\n   |   ^^^" in shown


def test_the_style_is_put_on_every_head_and_on_nothing_else() -> None:
    error = GuestError("a]: b", details={"more": [GuestError("c").to_dict()]})
    shown = error_text(error.to_dict(), lambda head: f"<{head}>")
    assert shown == "<error[guest.error]:> a]: b\n<error[guest.error]:> c"


def test_code_and_carets_have_styles_of_their_own() -> None:
    shown = error_text(GuestError("m", span=SPAN).to_dict(), lambda head: f"<{head}>", lambda code: f"[{code}]")
    assert shown.splitlines() == ["<error[guest.error]:> m", "  --> p.rtfs:2:3", "   | [  foo bar]", "   |   <^^^>"]
