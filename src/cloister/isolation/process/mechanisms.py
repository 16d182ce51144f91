"""The mechanisms that keep a sandbox apart, by name.

Owns the list. Each is put up by one step of the building, looked at again from inside before anything foreign starts
(`standing`), and attempted by the self-test (`selftest`). Standard library only; part of the guest set.
"""

from __future__ import annotations

from enum import StrEnum


class Mechanism(StrEnum):
    """One thing that keeps a sandbox apart; the value is what people are shown."""

    USER_NAMESPACE = "user namespace"
    MOUNT_NAMESPACE = "mount namespace"
    PID_NAMESPACE = "pid namespace"
    NETWORK_NAMESPACE = "network namespace"
    IPC_NAMESPACE = "ipc namespace"
    UTS_NAMESPACE = "uts namespace"
    CGROUP_NAMESPACE = "cgroup namespace"
    TIME_NAMESPACE = "time namespace"
    PRIVATE_ROOT = "private root"
    READ_ONLY_ROOT = "read-only root"
    QUOTA = "quota of the private directory"
    PRIVATE_PROC = "private /proc"
    MINIMAL_DEV = "minimal /dev"
    SAFE_BINDS = "binds that follow no link"
    LANDLOCK = "Landlock"
    SECCOMP = "system call filter"
    NO_CAPABILITIES = "no capabilities"
    NO_NEW_PRIVILEGES = "no_new_privs"
    NOT_DUMPABLE = "not dumpable"
    RESOURCE_LIMITS = "resource limits"
    CONTROL_GROUP = "control group"
    OOM_SCORE = "first to go when memory is short"
    PARENT_DEATH = "end with the launcher"
    CLOSED_DESCRIPTORS = "closed descriptors"
    CLEAN_ENVIRONMENT = "clean environment"
    FIXED_IDENTITY = "fixed user and host name"
    NO_TERMINAL = "no terminal"
    SUPERVISOR = "supervisor"
    STANDING = "a look at the walls before use"


NAMESPACES: dict[str, Mechanism] = {
    "user": Mechanism.USER_NAMESPACE,
    "mnt": Mechanism.MOUNT_NAMESPACE,
    "pid": Mechanism.PID_NAMESPACE,
    "net": Mechanism.NETWORK_NAMESPACE,
    "ipc": Mechanism.IPC_NAMESPACE,
    "uts": Mechanism.UTS_NAMESPACE,
    "cgroup": Mechanism.CGROUP_NAMESPACE,
    "time": Mechanism.TIME_NAMESPACE,
}
"""By the names below /proc/PID/ns: namespaces(7)."""
