"""Components written as text: a core module with whatever it needs of WASI 0.2 lowered for it."""

from __future__ import annotations

VERSION = "0.2.3"
IMPORTS = """
  (import "wasi:io/error@VERSION" (instance $io_error (export "error" (type (sub resource)))))
  (alias export $io_error "error" (type $error))
  (import "wasi:io/poll@VERSION" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))
    (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))
    (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@VERSION" (instance $streams
    (alias outer 1 $error (type $e'))
    (alias outer 1 $pollable (type $p'))
    (export "error" (type $e (eq $e')))
    (export "pollable" (type $p (eq $p')))
    (export "input-stream" (type $in (sub resource)))
    (export "output-stream" (type $out (sub resource)))
    (type $fault' (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $fault (eq $fault')))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $in)) (param "len" u64) (result (result (list u8) (error $fault)))))
    (export "[method]input-stream.skip"
      (func (param "self" (borrow $in)) (param "len" u64) (result (result u64 (error $fault)))))
    (export "[method]input-stream.subscribe" (func (param "self" (borrow $in)) (result (own $p))))
    (export "[method]output-stream.check-write"
      (func (param "self" (borrow $out)) (result (result u64 (error $fault)))))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $fault)))))
    (export "[method]output-stream.write-zeroes"
      (func (param "self" (borrow $out)) (param "len" u64) (result (result (error $fault)))))
    (export "[method]output-stream.splice"
      (func (param "self" (borrow $out)) (param "src" (borrow $in)) (param "len" u64)
        (result (result u64 (error $fault)))))))
  (alias export $streams "input-stream" (type $input))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdin@VERSION" (instance $stdin
    (alias outer 1 $input (type $in')) (export "input-stream" (type $in (eq $in')))
    (export "get-stdin" (func (result (own $in))))))
  (import "wasi:cli/stdout@VERSION" (instance $stdout
    (alias outer 1 $output (type $out')) (export "output-stream" (type $out (eq $out')))
    (export "get-stdout" (func (result (own $out))))))
  (import "wasi:cli/stderr@VERSION" (instance $stderr
    (alias outer 1 $output (type $out')) (export "output-stream" (type $out (eq $out')))
    (export "get-stderr" (func (result (own $out))))))
  (import "wasi:cli/exit@VERSION" (instance $cli_exit
    (export "exit" (func (param "status" (result)))) (export "exit-with-code" (func (param "status-code" u8)))))
  (import "wasi:cli/environment@VERSION" (instance $cli_environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))
    (export "initial-cwd" (func (result (option string))))))
  (import "wasi:clocks/monotonic-clock@VERSION" (instance $monotonic
    (alias outer 1 $pollable (type $p')) (export "pollable" (type $p (eq $p')))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (import "wasi:clocks/wall-clock@VERSION" (instance $wall
    (type $t' (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $t (eq $t')))
    (export "now" (func (result $t)))))
  (alias export $wall "datetime" (type $datetime))
  (import "wasi:random/random@VERSION" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
    (export "get-random-u64" (func (result u64)))))
  (import "wasi:filesystem/types@VERSION" (instance $files
    (alias outer 1 $input (type $in')) (export "input-stream" (type $in (eq $in')))
    (alias outer 1 $output (type $out')) (export "output-stream" (type $out (eq $out')))
    (export "descriptor" (type $d (sub resource)))
    (export "directory-entry-stream" (type $ds (sub resource)))
    (type $code' (enum CODES))
    (export "error-code" (type $code (eq $code')))
    (type $type' (enum "unknown" "block-device" "character-device" "directory" "fifo" "symbolic-link" "regular-file"
      "socket"))
    (export "descriptor-type" (type $type (eq $type')))
    (type $flags' (flags "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync"
      "mutate-directory"))
    (export "descriptor-flags" (type $flags (eq $flags')))
    (type $lookup' (flags "symlink-follow"))
    (export "path-flags" (type $lookup (eq $lookup')))
    (type $how' (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $how (eq $how')))
    (type $entry' (record (field "type" $type) (field "name" string)))
    (export "directory-entry" (type $entry (eq $entry')))
    (export "[method]descriptor.open-at"
      (func (param "self" (borrow $d)) (param "path-flags" $lookup) (param "path" string) (param "open-flags" $how)
        (param "flags" $flags) (result (result (own $d) (error $code)))))
    (export "[method]descriptor.read-via-stream"
      (func (param "self" (borrow $d)) (param "offset" u64) (result (result (own $in) (error $code)))))
    (export "[method]descriptor.write-via-stream"
      (func (param "self" (borrow $d)) (param "offset" u64) (result (result (own $out) (error $code)))))
    (export "[method]descriptor.append-via-stream"
      (func (param "self" (borrow $d)) (result (result (own $out) (error $code)))))
    (export "[method]descriptor.read"
      (func (param "self" (borrow $d)) (param "length" u64) (param "offset" u64)
        (result (result (tuple (list u8) bool) (error $code)))))
    (export "[method]descriptor.unlink-file-at"
      (func (param "self" (borrow $d)) (param "path" string) (result (result (error $code)))))
    (export "[method]descriptor.symlink-at"
      (func (param "self" (borrow $d)) (param "old-path" string) (param "new-path" string)
        (result (result (error $code)))))
    (export "[method]descriptor.rename-at"
      (func (param "self" (borrow $d)) (param "old-path" string) (param "new-descriptor" (borrow $d))
        (param "new-path" string) (result (result (error $code)))))
    (export "[method]descriptor.read-directory"
      (func (param "self" (borrow $d)) (result (result (own $ds) (error $code)))))
    (export "[method]directory-entry-stream.read-directory-entry"
      (func (param "self" (borrow $ds)) (result (result (option $entry) (error $code)))))))
  (alias export $files "descriptor" (type $descriptor))
  (alias export $files "directory-entry-stream" (type $listing))
  (import "wasi:filesystem/preopens@VERSION" (instance $preopens
    (alias outer 1 $descriptor (type $d')) (export "descriptor" (type $d (eq $d')))
    (export "get-directories" (func (result (list (tuple (own $d) string)))))))
"""
CODES = (
    "access", "would-block", "already", "bad-descriptor", "busy", "deadlock", "quota", "exist", "file-too-large",
    "illegal-byte-sequence", "in-progress", "interrupted", "invalid", "io", "is-directory", "loop", "too-many-links",
    "message-size", "name-too-long", "no-device", "no-entry", "no-lock", "insufficient-memory", "insufficient-space",
    "not-directory", "not-empty", "not-recoverable", "unsupported", "no-tty", "no-such-device", "overflow",
    "not-permitted", "pipe", "read-only", "invalid-seek", "text-file-busy", "cross-device",
)  # fmt: skip
"""In their order."""
MEMORY = """
  (core module $room
    (memory (export "memory") PAGES)
    (global $free (mut i32) (i32.const 32768))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (block $done (loop $more
        (br_if $done (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $done (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
        (br $more)))
      (local.get $at)))
  (core instance $room (instantiate $room))
"""
FUNCTIONS = {
    "get_stdin": ("$stdin", "get-stdin", "(result i32)"),
    "get_stdout": ("$stdout", "get-stdout", "(result i32)"),
    "get_stderr": ("$stderr", "get-stderr", "(result i32)"),
    "exit": ("$cli_exit", "exit", "(param i32)"),
    "exit_with_code": ("$cli_exit", "exit-with-code", "(param i32)"),
    "get_environment": ("$cli_environment", "get-environment", "(param i32)"),
    "get_arguments": ("$cli_environment", "get-arguments", "(param i32)"),
    "now": ("$monotonic", "now", "(result i64)"),
    "subscribe_duration": ("$monotonic", "subscribe-duration", "(param i64) (result i32)"),
    "wall_now": ("$wall", "now", "(param i32)"),
    "random_bytes": ("$random", "get-random-bytes", "(param i64 i32)"),
    "random_u64": ("$random", "get-random-u64", "(result i64)"),
    "block": ("$poll", "[method]pollable.block", "(param i32)"),
    "ready": ("$poll", "[method]pollable.ready", "(param i32) (result i32)"),
    "poll": ("$poll", "poll", "(param i32 i32 i32)"),
    "read": ("$streams", "[method]input-stream.blocking-read", "(param i32 i64 i32)"),
    "skip": ("$streams", "[method]input-stream.skip", "(param i32 i64 i32)"),
    "subscribe": ("$streams", "[method]input-stream.subscribe", "(param i32) (result i32)"),
    "check_write": ("$streams", "[method]output-stream.check-write", "(param i32 i32)"),
    "write": ("$streams", "[method]output-stream.blocking-write-and-flush", "(param i32 i32 i32 i32)"),
    "write_zeroes": ("$streams", "[method]output-stream.write-zeroes", "(param i32 i64 i32)"),
    "splice": ("$streams", "[method]output-stream.splice", "(param i32 i32 i64 i32)"),
    "directories": ("$preopens", "get-directories", "(param i32)"),
    "open_at": ("$files", "[method]descriptor.open-at", "(param i32 i32 i32 i32 i32 i32 i32)"),
    "read_via": ("$files", "[method]descriptor.read-via-stream", "(param i32 i64 i32)"),
    "write_via": ("$files", "[method]descriptor.write-via-stream", "(param i32 i64 i32)"),
    "append_via": ("$files", "[method]descriptor.append-via-stream", "(param i32 i32)"),
    "read_at": ("$files", "[method]descriptor.read", "(param i32 i64 i64 i32)"),
    "unlink": ("$files", "[method]descriptor.unlink-file-at", "(param i32 i32 i32 i32)"),
    "symlink": ("$files", "[method]descriptor.symlink-at", "(param i32 i32 i32 i32 i32 i32)"),
    "rename": ("$files", "[method]descriptor.rename-at", "(param i32 i32 i32 i32 i32 i32 i32)"),
    "read_directory": ("$files", "[method]descriptor.read-directory", "(param i32 i32)"),
    "next_entry": ("$files", "[method]directory-entry-stream.read-directory-entry", "(param i32 i32)"),
}
"""The functions of WASI 0.2 that the tests use: where each is, its name there, and its types once lowered."""
DROPS = {
    "drop_pollable": "$pollable",
    "drop_input": "$input",
    "drop_output": "$output",
    "drop_descriptor": "$descriptor",
    "drop_listing": "$listing",
}


def component(
    body: str, *imports: str, pages: int = 2, data: str = "", version: str = VERSION, exports: str = ""
) -> str:
    """Return a command as text: a core module with those functions under their names, and `run` from its body.

    Args:
        body: Of a function without parameters and locals `$a` to `$e` of 32 bits; it returns 0 at its end, success.
        imports: Names of `FUNCTIONS` and `DROPS`.
        pages: Of the memory at the start, from 32768 on given out by `realloc`.
        data: Data segments, or other fields of the module.
        version: Of WASI that it imports.
        exports: What the component has beside `run`.
    """
    lowered, given, wanted = [], [], []
    for name in imports:
        if name in DROPS:
            lowered.append(f"(core func ${name} (canon resource.drop {DROPS[name]}))")
            types = "(param i32)"
        else:
            instance, function, types = FUNCTIONS[name]
            lowered.append(
                f'(core func ${name} (canon lower (func {instance} "{function}")'
                ' (memory (core memory $room "memory")) (realloc (core func $room "realloc"))))'
            )
        given.append(f'(export "{name}" (func ${name}))')
        wanted.append(f'(import "host" "{name}" (func ${name} {types}))')
    known = IMPORTS.replace("VERSION", version).replace("CODES", " ".join(f'"{code}"' for code in CODES))
    return f"""(component {known} {MEMORY.replace("PAGES", str(pages))} {" ".join(lowered)}
  (core module $main {" ".join(wanted)} (import "room" "memory" (memory 1)) {data}
    (func (export "run") (result i32) (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $e i32)
      {body} (i32.const 0)))
  (core instance $main (instantiate $main
    (with "room" (instance $room)) (with "host" (instance {" ".join(given)}))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@{version}" (instance $command)) {exports})"""


def library(module: str, *functions: str) -> str:
    """Return a component as text: a core module, and functions lifted from its exports of the same names.

    Args:
        module: Fields of the core module; its memory, when it has one, is exported as `memory`.
        functions: Name and types each, like `add (param "a" u32) (result u32)`.
    """
    options = '(memory (core memory $i "memory")) (realloc (core func $i "realloc"))' if "memory" in module else ""
    lifted = []
    for each in functions:
        name, _, types = each.partition(" ")
        lifted.append(f'(func (export "{name}") {types} (canon lift (core func $i "{name}") {options}))')
    return f"(component (core module $m {module}) (core instance $i (instantiate $m)) {' '.join(lifted)})"
