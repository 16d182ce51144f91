;; The file operations of plans, as a module of our own: it has what WASI gives on the granted places, and nothing else.
;;
;; Written by the host before a call, read by it after: a path at $PATH, a second one at $OTHER, content from $CONTENT on.
;; Every function answers with WASI's number of an error, 0 for none. Directory 3 is the root of what is granted.
;;
;;      0  a result of WASI: a descriptor or a count     32  a vector: place and length
;;     64  what is known of a file (filestat)            16  how much content there is, for the host
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get" (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory" (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory" (func $path_remove_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $path_unlink_file (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename" (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_sync" (func $fd_sync (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  ;; WASI knows no permission bits: give the open file those of the one it will replace
  (import "cloister" "take_mode" (func $take_mode (param i32 i32 i32) (result i32)))

  (memory (export "memory") 2)
  (global $ROOT i32 (i32.const 3))
  (global $PATH (export "path") i32 (i32.const 8192))
  (global $OTHER (export "other") i32 (i32.const 16384))
  (global $CONTENT (export "content") i32 (i32.const 65536))
  (global $NO_MEMORY i32 (i32.const 48))
  (global $IO i32 (i32.const 29))

  ;; Make room for that much content.
  (func $reserve (export "reserve") (param $bytes i32) (result i32)
    (local $missing i64)
    (local.set $missing
      (i64.sub
        (i64.add (i64.extend_i32_u (global.get $CONTENT)) (i64.extend_i32_u (local.get $bytes)))
        (i64.mul (i64.extend_i32_u (memory.size)) (i64.const 65536))))
    (if (i64.le_s (local.get $missing) (i64.const 0)) (then (return (i32.const 0))))
    (if (i32.eq (i32.const -1)
          (memory.grow (i32.wrap_i64 (i64.div_u (i64.add (local.get $missing) (i64.const 65535)) (i64.const 65536)))))
      (then (return (global.get $NO_MEMORY))))
    (i32.const 0))

  (func $open (param $length i32) (param $how i32) (param $rights i64) (param $flags i32) (result i32)
    (call $path_open (global.get $ROOT) (i32.const 1) (global.get $PATH) (local.get $length)
      (local.get $how) (local.get $rights) (i64.const 0) (local.get $flags) (i32.const 0)))

  ;; Close, and answer with what went wrong before, or else with what went wrong now.
  (func $closed (param $file i32) (param $error i32) (result i32)
    (local $closing i32)
    (local.set $closing (call $fd_close (local.get $file)))
    (select (local.get $error) (local.get $closing) (local.get $error)))

  (func (export "facts") (param $length i32) (param $follow i32) (result i32)
    (call $path_filestat_get (global.get $ROOT) (local.get $follow) (global.get $PATH) (local.get $length) (i32.const 64)))

  ;; Read from an offset to the end of a file, or until there is more than may be: then one byte more is read.
  (func (export "read") (param $length i32) (param $offset i64) (param $most i32) (result i32)
    (local $file i32) (local $error i32) (local $have i32)
    (local.set $error (call $open (local.get $length) (i32.const 0) (i64.const 2) (i32.const 0)))
    (if (local.get $error) (then (return (local.get $error))))
    (local.set $file (i32.load (i32.const 0)))
    (block $end
      (loop $more
        (local.set $error (call $reserve (i32.add (local.get $have) (i32.const 1048576))))
        (br_if $end (local.get $error))
        (i32.store (i32.const 32) (i32.add (global.get $CONTENT) (local.get $have)))
        (i32.store (i32.const 36) (i32.const 1048576))
        (local.set $error
          (call $fd_pread (local.get $file) (i32.const 32) (i32.const 1)
            (i64.add (local.get $offset) (i64.extend_i32_u (local.get $have))) (i32.const 0)))
        (br_if $end (local.get $error))
        (br_if $end (i32.eqz (i32.load (i32.const 0))))
        (local.set $have (i32.add (local.get $have) (i32.load (i32.const 0))))
        (br_if $more (i32.le_u (local.get $have) (local.get $most)))))
    (i32.store (i32.const 16) (local.get $have))
    (call $closed (local.get $file) (local.get $error)))

  ;; Write content to a file, opened as `how` and `flags` of WASI say; with `mode_length` it gets the permission bits of
  ;; what the other path leads to.
  (func (export "write")
    (param $length i32) (param $count i32) (param $how i32) (param $flags i32) (param $mode_length i32) (result i32)
    (local $file i32) (local $error i32) (local $done i32)
    (local.set $error (call $open (local.get $length) (local.get $how) (i64.const 64) (local.get $flags)))
    (if (local.get $error) (then (return (local.get $error))))
    (local.set $file (i32.load (i32.const 0)))
    (block $end
      (loop $more
        (if (i32.lt_u (local.get $done) (local.get $count))
          (then
            (i32.store (i32.const 32) (i32.add (global.get $CONTENT) (local.get $done)))
            (i32.store (i32.const 36) (i32.sub (local.get $count) (local.get $done)))
            (local.set $error (call $fd_write (local.get $file) (i32.const 32) (i32.const 1) (i32.const 0)))
            (br_if $end (local.get $error))
            (if (i32.eqz (i32.load (i32.const 0))) (then (local.set $error (global.get $IO)) (br $end)))
            (local.set $done (i32.add (local.get $done) (i32.load (i32.const 0))))
            (br $more))))
      (if (local.get $mode_length)
        (then
          (local.set $error (call $take_mode (local.get $file) (global.get $OTHER) (local.get $mode_length)))
          (br_if $end (local.get $error))))
      (local.set $error (call $fd_sync (local.get $file))))
    (call $closed (local.get $file) (local.get $error)))

  ;; List a directory: entries as WASI packs them, one after the other.
  (func (export "list") (param $length i32) (result i32)
    (local $file i32) (local $error i32) (local $room i32)
    (local.set $error (call $open (local.get $length) (i32.const 2) (i64.const 16384) (i32.const 0)))
    (if (local.get $error) (then (return (local.get $error))))
    (local.set $file (i32.load (i32.const 0)))
    (local.set $room (i32.const 65536))
    (block $end
      (loop $more
        (local.set $error (call $reserve (local.get $room)))
        (br_if $end (local.get $error))
        (local.set $error
          (call $fd_readdir (local.get $file) (global.get $CONTENT) (local.get $room) (i64.const 0) (i32.const 16)))
        (br_if $end (local.get $error))
        (br_if $end (i32.lt_u (i32.load (i32.const 16)) (local.get $room)))
        (local.set $room (i32.mul (local.get $room) (i32.const 4)))
        (br_if $more (i32.le_u (local.get $room) (i32.const 0x10000000)))
        (local.set $error (global.get $NO_MEMORY))))
    (call $closed (local.get $file) (local.get $error)))

  ;; Make the names in a directory durable.
  (func (export "sync") (param $length i32) (result i32)
    (local $file i32) (local $error i32)
    (local.set $error (call $open (local.get $length) (i32.const 2) (i64.const 16384) (i32.const 0)))
    (if (local.get $error) (then (return (local.get $error))))
    (local.set $file (i32.load (i32.const 0)))
    (local.set $error (call $fd_sync (local.get $file)))
    (call $closed (local.get $file) (local.get $error)))

  (func (export "rename") (param $length i32) (param $new_length i32) (result i32)
    (call $path_rename (global.get $ROOT) (global.get $PATH) (local.get $length)
      (global.get $ROOT) (global.get $OTHER) (local.get $new_length)))

  (func (export "unlink") (param $length i32) (result i32)
    (call $path_unlink_file (global.get $ROOT) (global.get $PATH) (local.get $length)))

  (func (export "remove") (param $length i32) (result i32)
    (call $path_remove_directory (global.get $ROOT) (global.get $PATH) (local.get $length)))

  (func (export "make") (param $length i32) (result i32)
    (call $path_create_directory (global.get $ROOT) (global.get $PATH) (local.get $length)))

  ;; The variables: their places, then their texts, each with a zero at its end.
  (func (export "variables") (result i32)
    (local $error i32)
    (local.set $error (call $environ_sizes_get (i32.const 0) (i32.const 16)))
    (if (local.get $error) (then (return (local.get $error))))
    (local.set $error
      (call $reserve (i32.add (i32.mul (i32.const 4) (i32.load (i32.const 0))) (i32.load (i32.const 16)))))
    (if (local.get $error) (then (return (local.get $error))))
    (call $environ_get
      (i32.add (global.get $CONTENT) (i32.load (i32.const 16)))
      (global.get $CONTENT))))
