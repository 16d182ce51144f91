#!/usr/bin/python3 -ISEB
"""Process 1 of the outer machine: a root that can be switched, KVM, and a loop that runs scenarios."""

import ctypes
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import time

MS_MOVE = 8192
FINIT_MODULE = 313
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str = "") -> None:
    os.makedirs(target, exist_ok=True)
    arguments = [source.encode(), target.encode(), kind.encode() if kind else None, flags, data.encode()]
    if LIBC.mount(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def move_to_real_root() -> None:
    """The first root can be neither left with pivot_root(2), which jails need, nor bounded by Landlock."""
    mount("root", "/new", "tmpfs", 0, "size=90%,mode=755")
    for name in os.listdir("/"):
        if name in ("new", "proc", "sys", "dev"):
            os.makedirs(f"/new/{name}", exist_ok=True)
        elif os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"/new/{name}")
        elif os.path.isdir(f"/{name}"):
            shutil.copytree(f"/{name}", f"/new/{name}", symlinks=True, copy_function=shutil.move)
        else:
            shutil.copy2(f"/{name}", f"/new/{name}")
    os.chdir("/new")
    mount(".", "/", None, MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def load(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if LIBC.syscall(FINIT_MODULE, descriptor, b"", 0) != 0:
            print(path, os.strerror(ctypes.get_errno()), flush=True)
    finally:
        os.close(descriptor)


def come_up() -> int:
    move_to_real_root()
    for source, target, kind in (
        ("proc", "/proc", "proc"), ("sysfs", "/sys", "sysfs"), ("devtmpfs", "/dev", "devtmpfs"),
        ("none", "/sys/fs/cgroup", "cgroup2"), ("tmp", "/tmp", "tmpfs"), ("run", "/run", "tmpfs"),
        ("var", "/var", "tmpfs"),
    ):  # fmt: skip
        mount(source, target, kind)
    order = ("virtio_ring", "virtio", "virtio_mmio", "virtio_console")
    own = {os.path.basename(path).split("-", 1)[-1].removesuffix(".ko"): path for path in glob.glob("/modules/*.ko")}
    for name in order:
        if name in own:
            load(own[name])
    for path in sorted(glob.glob("/lab/modules/*.ko")):
        load(path)
    while not (ports := glob.glob("/dev/vport*")):
        time.sleep(0.01)
    return os.open(ports[0], os.O_RDWR)


def exactly(port: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = os.read(port, count - len(data))
        if not part:
            time.sleep(0.01)
        data += part
    return data


def say(port: int, answer: dict[str, object]) -> None:
    data = json.dumps(answer).encode()
    data = struct.pack(">I", len(data)) + data
    while data:
        data = data[os.write(port, data) :]


def reap() -> None:
    """What lost its parent is this process's."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def main() -> None:
    port = come_up()
    say(port, {"ready": True, "kvm": os.path.exists("/dev/kvm")})
    while True:
        order = json.loads(exactly(port, struct.unpack(">I", exactly(port, 4))[0]))
        done = subprocess.run(
            ["/usr/bin/python3", "-IB", "/lab/running.py", order["module"], order["scenario"]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", **order["environment"]}, check=False,
        )  # fmt: skip
        reap()
        last = done.stdout.rstrip().rpartition(b"\n")[2]
        figures = json.loads(last) if done.returncode == 0 else {}
        say(
            port,
            {"ok": done.returncode == 0, "figures": figures, "output": done.stdout.decode(errors="replace")[-8000:]},
        )


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        print("the lab ends:", repr(error), file=sys.stderr, flush=True)
        raise
