"""System calls that are known and refused to everything in a sandbox.

Owns the rows and the reason of each, so that a refusal can be explained. A call that is in no table is refused as well,
as one that the kernel does not have. Standard library only; part of the guest set.

Source: numbers as in `calls`; what each call does is in section 2 of the manual, man-pages 6.x.
"""

from __future__ import annotations

import errno
from typing import Final

from cloister.isolation.process.seccomp.calls import Refusal

_MEMORY: Final = "memory that belongs to no process and no directory, so that no limit counts it"
_RING: Final = "a second way into most of the kernel, which a filter of system calls cannot see into"
_QUEUE: Final = "queues in kernel memory, of which the whole machine has one bounded number"
_KEYS: Final = "keys are kept per user, not per namespace: it would reach those of the host's user"
_SURFACE: Final = "needs no privilege and has a long record of kernel defects"
_OTHERS: Final = "looks into and steers other processes of the sandbox, the first one among them"
_NAMESPACES: Final = "namespaces come with capabilities inside, and with them a large part of the kernel to attack"
_MOUNTS: Final = "the mounts of a sandbox are its wall; they are final when its payload starts"
_HANDLES: Final = "opens files by number, past the directories that lead to them and past what is mounted"
_WATCHERS: Final = "watches whole file systems of the host, not only what is mounted here"
_FLAGS: Final = "sets flags of files that outlive the sandbox and that ordinary tools do not show"
_KERNEL: Final = "replaces or extends the running kernel"
_CLOCKS: Final = "the clocks are the machine's"
_MACHINE: Final = "a setting or a resource of the whole machine"
_SPYING: Final = "tells what others on the machine do, through what the kernel keeps for them"
_OBSOLETE: Final = "of systems of the past; no program of today makes it, and most kernels have only its number"
_UNSEEN: Final = "its flags lie in memory, where the filter cannot see them; libraries fall back to the older call"
_TABLES: Final = "newer than what programs depend on, which fall back to reading /proc/self/mountinfo"

REFUSALS: Final = (
    Refusal("memfd_create", 319, 279, _MEMORY),
    Refusal("memfd_secret", 447, 447, _MEMORY),
    Refusal("shmget", 29, 194, _MEMORY),
    Refusal("shmat", 30, 196, _MEMORY),
    Refusal("shmctl", 31, 195, _MEMORY),
    Refusal("shmdt", 67, 197, _MEMORY),
    Refusal("msgget", 68, 186, _MEMORY),
    Refusal("msgsnd", 69, 189, _MEMORY),
    Refusal("msgrcv", 70, 188, _MEMORY),
    Refusal("msgctl", 71, 187, _MEMORY),
    Refusal("semget", 64, 190, _MEMORY),
    Refusal("semop", 65, 193, _MEMORY),
    Refusal("semtimedop", 220, 192, _MEMORY),
    Refusal("semctl", 66, 191, _MEMORY),
    Refusal("mq_open", 240, 180, _MEMORY),
    Refusal("mq_unlink", 241, 181, _MEMORY),
    Refusal("mq_timedsend", 242, 182, _MEMORY),
    Refusal("mq_timedreceive", 243, 183, _MEMORY),
    Refusal("mq_notify", 244, 184, _MEMORY),
    Refusal("mq_getsetattr", 245, 185, _MEMORY),
    Refusal("vmsplice", 278, 75, _MEMORY),
    Refusal("io_uring_setup", 425, 425, _RING),
    Refusal("io_uring_enter", 426, 426, _RING),
    Refusal("io_uring_register", 427, 427, _RING),
    Refusal("io_setup", 206, 0, _QUEUE),
    Refusal("io_destroy", 207, 1, _QUEUE),
    Refusal("io_submit", 209, 2, _QUEUE),
    Refusal("io_cancel", 210, 3, _QUEUE),
    Refusal("io_getevents", 208, 4, _QUEUE),
    Refusal("io_pgetevents", 333, 292, _QUEUE),
    Refusal("add_key", 248, 217, _KEYS),
    Refusal("request_key", 249, 218, _KEYS),
    Refusal("keyctl", 250, 219, _KEYS),
    Refusal("bpf", 321, 280, _SURFACE),
    Refusal("perf_event_open", 298, 241, _SURFACE),
    Refusal("userfaultfd", 323, 282, _SURFACE),
    Refusal("modify_ldt", 154, None, _SURFACE),
    Refusal("remap_file_pages", 216, 234, _SURFACE),
    Refusal("ptrace", 101, 117, _OTHERS),
    Refusal("process_vm_readv", 310, 270, _OTHERS),
    Refusal("process_vm_writev", 311, 271, _OTHERS),
    Refusal("process_madvise", 440, 440, _OTHERS),
    Refusal("process_mrelease", 448, 448, _OTHERS),
    Refusal("kcmp", 312, 272, _OTHERS),
    Refusal("pidfd_getfd", 438, 438, _OTHERS),
    Refusal("get_robust_list", 274, 100, _OTHERS),
    Refusal("move_pages", 279, 239, _OTHERS),
    Refusal("migrate_pages", 256, 238, _OTHERS),
    Refusal("unshare", 272, 97, _NAMESPACES),
    Refusal("setns", 308, 268, _NAMESPACES),
    Refusal("mount", 165, 40, _MOUNTS),
    Refusal("umount2", 166, 39, _MOUNTS),
    Refusal("pivot_root", 155, 41, _MOUNTS),
    Refusal("chroot", 161, 51, _MOUNTS),
    Refusal("fsopen", 430, 430, _MOUNTS),
    Refusal("fsconfig", 431, 431, _MOUNTS),
    Refusal("fsmount", 432, 432, _MOUNTS),
    Refusal("fspick", 433, 433, _MOUNTS),
    Refusal("open_tree", 428, 428, _MOUNTS),
    Refusal("open_tree_attr", 467, 467, _MOUNTS),
    Refusal("move_mount", 429, 429, _MOUNTS),
    Refusal("mount_setattr", 442, 442, _MOUNTS),
    Refusal("name_to_handle_at", 303, 264, _HANDLES),
    Refusal("open_by_handle_at", 304, 265, _HANDLES),
    Refusal("fanotify_init", 300, 262, _WATCHERS),
    Refusal("fanotify_mark", 301, 263, _WATCHERS),
    Refusal("file_setattr", 469, 469, _FLAGS),
    Refusal("init_module", 175, 105, _KERNEL),
    Refusal("finit_module", 313, 273, _KERNEL),
    Refusal("delete_module", 176, 106, _KERNEL),
    Refusal("kexec_load", 246, 104, _KERNEL),
    Refusal("kexec_file_load", 320, 294, _KERNEL),
    Refusal("reboot", 169, 142, _KERNEL),
    Refusal("clock_settime", 227, 112, _CLOCKS),
    Refusal("settimeofday", 164, 170, _CLOCKS),
    Refusal("clock_adjtime", 305, 266, _CLOCKS),
    Refusal("adjtimex", 159, 171, _CLOCKS),
    Refusal("swapon", 167, 224, _MACHINE),
    Refusal("swapoff", 168, 225, _MACHINE),
    Refusal("acct", 163, 89, _MACHINE),
    Refusal("quotactl", 179, 60, _MACHINE),
    Refusal("quotactl_fd", 443, 443, _MACHINE),
    Refusal("sync", 162, 81, _MACHINE),
    Refusal("syslog", 103, 116, _MACHINE),
    Refusal("sethostname", 170, 161, _MACHINE),
    Refusal("setdomainname", 171, 162, _MACHINE),
    Refusal("vhangup", 153, 58, _MACHINE),
    Refusal("iopl", 172, None, _MACHINE),
    Refusal("ioperm", 173, None, _MACHINE),
    Refusal("mbind", 237, 235, _MACHINE),
    Refusal("set_mempolicy", 238, 237, _MACHINE),
    Refusal("set_mempolicy_home_node", 450, 450, _MACHINE),
    Refusal("cachestat", 451, 451, _SPYING),
    Refusal("lookup_dcookie", 212, 18, _SPYING),
    Refusal("lsm_get_self_attr", 459, 459, _SPYING),
    Refusal("lsm_set_self_attr", 460, 460, _SPYING),
    Refusal("lsm_list_modules", 461, 461, _SPYING),
    Refusal("_sysctl", 156, None, _OBSOLETE),
    Refusal("uselib", 134, None, _OBSOLETE),
    Refusal("ustat", 136, None, _OBSOLETE),
    Refusal("sysfs", 139, None, _OBSOLETE),
    Refusal("nfsservctl", 180, 42, _OBSOLETE),
    Refusal("create_module", 174, None, _OBSOLETE),
    Refusal("get_kernel_syms", 177, None, _OBSOLETE),
    Refusal("query_module", 178, None, _OBSOLETE),
    Refusal("getpmsg", 181, None, _OBSOLETE),
    Refusal("putpmsg", 182, None, _OBSOLETE),
    Refusal("afs_syscall", 183, None, _OBSOLETE),
    Refusal("tuxcall", 184, None, _OBSOLETE),
    Refusal("security", 185, None, _OBSOLETE),
    Refusal("vserver", 236, None, _OBSOLETE),
    Refusal("epoll_ctl_old", 214, None, _OBSOLETE),
    Refusal("epoll_wait_old", 215, None, _OBSOLETE),
    Refusal("set_thread_area", 205, None, _OBSOLETE),
    Refusal("get_thread_area", 211, None, _OBSOLETE),
    Refusal("clone3", 435, 435, _UNSEEN, error=errno.ENOSYS),
    Refusal("openat2", 437, 437, _UNSEEN, error=errno.ENOSYS),
    Refusal("statmount", 457, 457, _TABLES, error=errno.ENOSYS),
    Refusal("listmount", 458, 458, _TABLES, error=errno.ENOSYS),
)
"""Refused whatever the arguments are: with EPERM, or as unknown where callers then take an older way."""
