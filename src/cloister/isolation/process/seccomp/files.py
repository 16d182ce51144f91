"""Files and directories: opening, naming, describing.

Owns the rows and the reason of each. The mounts, the mode bits and Landlock decide which files these reach; here it is
decided only that programs have files. Standard library only; part of the guest set.

Source: numbers as in `calls`; what each call does is in section 2 of the manual, man-pages 6.x.
"""

from __future__ import annotations

from typing import Final

from cloister.isolation.process.seccomp.calls import ALL, PROGRAMS, Call

_OPEN: Final = "opens files, which the mounts decide about; argument rules keep set-user-id bits out"
_LIST: Final = "lists and enters directories"
_LOOK: Final = "asks what a file is"
_SPACE: Final = "asks how much room a file system has, which the first process does for its report"
_NAME: Final = "makes, moves and removes names below a writable mount"
_NODE: Final = "makes plain files and named pipes; argument rules keep devices and sockets out"
_MODE: Final = "changes permission bits and owners of files it owns; argument rules keep set-user-id bits out"
_TIMES: Final = "changes times of files it may write"
_LENGTH: Final = "changes the length of a file, within the limit on its size"
_DURABLE: Final = "writes one file, or one file system it holds a descriptor of, back to the disk"
_ADVICE: Final = "advises the page cache about a file it reads"
_ATTRIBUTES: Final = "reads and writes extended attributes; those that give power need a capability"
_LOCK: Final = "locks a file against others who lock it too"
_WATCH: Final = "waits for changes of files it can see"

FILES: Final = (
    Call("open", 2, None, ALL, _OPEN),
    Call("openat", 257, 56, ALL, _OPEN),
    Call("creat", 85, None, PROGRAMS, _OPEN),
    Call("getdents", 78, None, PROGRAMS, _LIST),
    Call("getdents64", 217, 61, ALL, _LIST),
    Call("chdir", 80, 49, ALL, _LIST),
    Call("fchdir", 81, 50, PROGRAMS, _LIST),
    Call("getcwd", 79, 17, PROGRAMS, _LIST),
    Call("stat", 4, None, ALL, _LOOK),
    Call("lstat", 6, None, ALL, _LOOK),
    Call("fstat", 5, 80, ALL, _LOOK),
    Call("newfstatat", 262, 79, ALL, _LOOK),
    Call("statx", 332, 291, ALL, _LOOK),
    Call("access", 21, None, PROGRAMS, _LOOK),
    Call("faccessat", 269, 48, PROGRAMS, _LOOK),
    Call("faccessat2", 439, 439, PROGRAMS, _LOOK),
    Call("readlink", 89, None, PROGRAMS, _LOOK),
    Call("readlinkat", 267, 78, PROGRAMS, _LOOK),
    Call("statfs", 137, 43, ALL, _SPACE),
    Call("fstatfs", 138, 44, ALL, _SPACE),
    Call("mkdir", 83, None, ALL, _NAME),
    Call("mkdirat", 258, 34, ALL, _NAME),
    Call("rmdir", 84, None, ALL, _NAME),
    Call("unlink", 87, None, ALL, _NAME),
    Call("unlinkat", 263, 35, ALL, _NAME),
    Call("rename", 82, None, ALL, _NAME),
    Call("renameat", 264, 38, ALL, _NAME),
    Call("renameat2", 316, 276, PROGRAMS, _NAME),
    Call("link", 86, None, PROGRAMS, _NAME),
    Call("linkat", 265, 37, PROGRAMS, _NAME),
    Call("symlink", 88, None, PROGRAMS, _NAME),
    Call("symlinkat", 266, 36, PROGRAMS, _NAME),
    Call("mknod", 133, None, PROGRAMS, _NODE),
    Call("mknodat", 259, 33, PROGRAMS, _NODE),
    Call("chmod", 90, None, PROGRAMS, _MODE),
    Call("fchmod", 91, 52, ALL, _MODE),
    Call("fchmodat", 268, 53, PROGRAMS, _MODE),
    Call("fchmodat2", 452, 452, PROGRAMS, _MODE),
    Call("chown", 92, None, PROGRAMS, _MODE),
    Call("fchown", 93, 55, PROGRAMS, _MODE),
    Call("lchown", 94, None, PROGRAMS, _MODE),
    Call("fchownat", 260, 54, PROGRAMS, _MODE),
    Call("umask", 95, 166, ALL, _MODE),
    Call("utime", 132, None, PROGRAMS, _TIMES),
    Call("utimes", 235, None, PROGRAMS, _TIMES),
    Call("futimesat", 261, None, PROGRAMS, _TIMES),
    Call("utimensat", 280, 88, PROGRAMS, _TIMES),
    Call("truncate", 76, 45, PROGRAMS, _LENGTH),
    Call("ftruncate", 77, 46, PROGRAMS, _LENGTH),
    Call("fallocate", 285, 47, PROGRAMS, _LENGTH),
    Call("fsync", 74, 82, ALL, _DURABLE),
    Call("fdatasync", 75, 83, PROGRAMS, _DURABLE),
    Call("sync_file_range", 277, 84, PROGRAMS, _DURABLE),
    Call("syncfs", 306, 267, PROGRAMS, _DURABLE),
    Call("fadvise64", 221, 223, PROGRAMS, _ADVICE),
    Call("readahead", 187, 213, PROGRAMS, _ADVICE),
    Call("setxattr", 188, 5, PROGRAMS, _ATTRIBUTES),
    Call("lsetxattr", 189, 6, PROGRAMS, _ATTRIBUTES),
    Call("fsetxattr", 190, 7, PROGRAMS, _ATTRIBUTES),
    Call("setxattrat", 463, 463, PROGRAMS, _ATTRIBUTES),
    Call("getxattr", 191, 8, PROGRAMS, _ATTRIBUTES),
    Call("lgetxattr", 192, 9, PROGRAMS, _ATTRIBUTES),
    Call("fgetxattr", 193, 10, PROGRAMS, _ATTRIBUTES),
    Call("getxattrat", 464, 464, PROGRAMS, _ATTRIBUTES),
    Call("listxattr", 194, 11, PROGRAMS, _ATTRIBUTES),
    Call("llistxattr", 195, 12, PROGRAMS, _ATTRIBUTES),
    Call("flistxattr", 196, 13, PROGRAMS, _ATTRIBUTES),
    Call("listxattrat", 465, 465, PROGRAMS, _ATTRIBUTES),
    Call("removexattr", 197, 14, PROGRAMS, _ATTRIBUTES),
    Call("lremovexattr", 198, 15, PROGRAMS, _ATTRIBUTES),
    Call("fremovexattr", 199, 16, PROGRAMS, _ATTRIBUTES),
    Call("removexattrat", 466, 466, PROGRAMS, _ATTRIBUTES),
    Call("file_getattr", 468, 468, PROGRAMS, _ATTRIBUTES),
    Call("flock", 73, 32, PROGRAMS, _LOCK),
    Call("inotify_init", 253, None, PROGRAMS, _WATCH),
    Call("inotify_init1", 294, 26, PROGRAMS, _WATCH),
    Call("inotify_add_watch", 254, 27, PROGRAMS, _WATCH),
    Call("inotify_rm_watch", 255, 28, PROGRAMS, _WATCH),
)
"""Calls that name files and directories, or change what is known about them."""
