"""What Firecracker's driver does with a real Firecracker, jailer and KVM."""

import contextlib
import ctypes
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import HARDWARE, READY_S, Watch, error_of, greeted, left, parts, saved, sealed, worked

from cloister.isolation.microvm import kvm, memory, vmm_groups
from cloister.isolation.microvm.firecracker import jail, jailer, settings, spec, walls
from cloister.isolation.microvm.firecracker.api import FirecrackerApi
from cloister.isolation.microvm.firecracker.driver import FirecrackerVmm
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.microvm.sockets import connect_beneath
from cloister.isolation.microvm.vmm import BootParts, Drive, RateLimit

JAILS, CIDS = "/var/jails", "/run/cids"


def opened(**others: Any) -> FirecrackerVmm:
    return FirecrackerVmm(settings.found(**{"jails": Path(JAILS), "cids": Path(CIDS), **others}))


def nothing_is_left() -> None:
    groups = [path for path in left("/sys/fs/cgroup") if "cloister-vm-" in path]
    assert left(JAILS, CIDS) == groups == [], (left(JAILS, CIDS), groups)
    assert not any("firecracker" in name for name in names()), names()


def names() -> list[str]:
    """Return what runs; what has ended and waits for process 1 to notice does not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            text = path.read_text()
            if "\nState:\tZ" not in text:
                found.append(text.splitlines()[0].partition("\t")[2])
    return found


def life() -> dict[str, Any]:
    """Boot, work, look at the walls, save, go on, restore several, work in each, end; nothing is left."""
    watch = Watch()
    vmm = opened()
    watch.step("driver")
    machine = vmm.boot(HARDWARE, parts())
    watch.step("jailed and described")
    machine.resume()
    watch.step("started and filters proven")
    link = greeted(machine)
    watch.step("ready")
    state = saved(machine)  # nobody has used it yet
    watch.step("saved")
    link.close()
    machine.resume()
    link = greeted(machine)
    worked(link, 3)
    watch.step("worked")
    watch.figures |= {"walls": looked(machine), "saved bytes": os.fstat(state.memory_fd).st_blocks * 512}
    watch.figures["usage"] = dataclasses.asdict(machine.usage())
    metrics = machine.metrics()
    assert metrics["vsock"]["rx_packets_count"] > 0, metrics["vsock"]
    assert metrics["seccomp"]["num_faults"] == 0
    watch.figures["proof"] = [len(machine.proof.threads), len(machine.proof.refused)] if machine.proof else None
    watch.step("looked at")
    for number in range(3):
        other = vmm.restore(state)
        watch.step(f"restored {number}: loaded, filters proven")
        other.resume()
        link = greeted(other)
        watch.step(f"restored {number}: ready")
        worked(link, number)
        watch.step(f"restored {number}: worked")
        watch.figures[f"restored {number}: usage"] = dataclasses.asdict(other.usage())
        other.stop()
        watch.step(f"restored {number}: ended")
    machine.stop()
    machine.stop()
    vmm.close()
    nothing_is_left()
    return watch.figures


def looked(machine: Any) -> dict[str, Any]:
    """Return what the kernel says of the jailed process; each is a wall."""
    pid = machine.pid
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    other = {name: Path(f"/proc/{pid}/ns/{name}").stat().st_ino != Path(f"/proc/self/ns/{name}").stat().st_ino
             for name in ("mnt", "net", "pid", "ipc", "uts", "user")}  # fmt: skip
    files = sorted(os.listdir(f"/proc/{pid}/root"))
    interfaces = [line.split(":")[0].strip() for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]]
    assert int(status["Uid"].split()[0]) > 1_900_000_000
    assert status["Seccomp"].strip() == "2"
    assert status["CapEff"].strip() == "0" * 16
    assert interfaces == ["lo"]
    assert "etc" not in files
    return {
        "uid": status["Uid"].split()[0], "capabilities": status["CapEff"], "no new privileges": status["NoNewPrivs"],
        "seccomp": status["Seccomp"], "own namespaces": other, "files": files, "interfaces": interfaces,
        "group": Path(f"/proc/{pid}/cgroup").read_text().strip(),
        "environment": Path(f"/proc/{pid}/environ").read_text(),
    }  # fmt: skip


def devices() -> dict[str, Any]:
    """A drive with bounds, a balloon, an entropy device; and the configuration Firecracker itself reports."""
    Path("/run/drive").write_bytes(b"CLOISTER" * 512 * 1024)
    descriptor = os.open("/run/drive", os.O_RDONLY)
    rate = RateLimit(bytes_per_s=1024 * 1024, ops_per_s=500)
    drive = Drive(name="extra", descriptor=descriptor, path="/run/drive", rate=rate)
    vmm = opened(has_balloon=True, entropy_rate=RateLimit(bytes_per_s=64 * 1024))
    with vmm.boot(HARDWARE, parts((drive,)), cid=77) as machine:
        machine.resume()
        full = machine.api.full_configuration()
        assert full["vsock"] == {"guest_cid": 77, "uds_path": "vsock"}, full
        assert full["drives"][0]["rate_limiter"]["bandwidth"]["size"] == 1024 * 1024, full
        assert full["entropy"]["rate_limiter"]["bandwidth"]["size"] == 64 * 1024, full
        assert full["network-interfaces"] == []
        assert full.get("mmds-config") is None
        link = MachineLink(machine.connect(READY_S))
        assert link.hello(READY_S).drives == ("extra",)
        link.close()
        machine.set_balloon(16)
        assert machine.api.balloon()["amount_mib"] == 16
    vmm.close()
    nothing_is_left()
    return {"configuration": full}


def config_file() -> dict[str, Any]:
    """The same description as a file, read by a jailed Firecracker at its start."""
    found = settings.found(jails=Path(JAILS), cids=Path(CIDS))
    hierarchy = vmm_groups.look()
    described = spec.FirecrackerSpec(vcpus=1, memory_mib=256, cid=5, command_line="quiet", has_balloon=True)
    base = Path(JAILS) / "by-hand"
    base.mkdir(parents=True)
    with jail.network(None) as (path, network_fd):
        plan = jailer.JailPlan(
            jailer=found.jailer, firecracker=found.firecracker, identity="by-hand", user=1_900_000_001, base=base,
            group_version=hierarchy.version, group_parent="cloister-vm-by-hand",
            group_values=hierarchy.values(memory_bytes=1 << 30, processes_count=32), network=path,
            file_bytes_max=1 << 30, open_files_max=512, has_filter=found.filter is not None, has_config=True,
        )  # fmt: skip
        place = jail.Jail(plan, hierarchy)
        for name, source in ((spec.KERNEL, "/lab/vmlinux"), (spec.INITRAMFS, "/lab/initramfs")):
            place.write(name, Path(source).read_bytes())
        place.write(spec.CONFIG, json.dumps(spec.config_file(described)).encode())
        if found.filter is not None:
            place.write(spec.FILTER, found.filter.read_bytes())
        for name in (spec.LOG, spec.METRICS):
            jail.Spout.fifo(place.root_fd, name, owner=plan.user)
        process = jail.enter(plan, place)
        jail.await_socket(process, spec.API, 30)
        api = jail_api(place, process)
        full = api.full_configuration()
        assert full["machine-config"]["mem_size_mib"] == 256, full
        assert full["vsock"]["guest_cid"] == 5, full
        assert full["balloon"]["deflate_on_oom"] is True, full
        assert api.describe()["state"] == "Running"
        walls.check(process, network_fd, walls.digest_of(found.firecracker))
        process.kill()
        place.remove()
    for group in hierarchy.paths("cloister-vm-by-hand").values():
        group.rmdir()
    base.joinpath(found.firecracker.name).rmdir()
    base.rmdir()
    nothing_is_left()
    return {"configuration": full}


def jail_api(place: Any, process: Any) -> Any:
    return FirecrackerApi(lambda left_s: connect_beneath(place.root_fd, spec.API, timeout_s=left_s, pid=process.pid))


def built_in_filter() -> dict[str, Any]:
    """A Firecracker whose own filter lets everything through is refused; a release build's is proven."""
    is_named = bool(os.environ.pop("CLOISTER_FIRECRACKER_FILTER", None))
    vmm = opened()
    machine = vmm.boot(HARDWARE, parts())
    if is_named:
        error = error_of(machine.resume, "provider.confinement")
        assert "lets execve" in error.message, error.message
        figures = {"refused": error.message}
    else:
        machine.resume()
        machine.stop()
        figures = {"proven": True}
    vmm.close()
    nothing_is_left()
    return figures


def altered_kernel() -> dict[str, Any]:
    """A kernel that is none: Firecracker's own words, and nothing is left."""
    descriptor = memory.new_file("kernel")
    os.write(descriptor, b"\x7fELF" + os.urandom(1 << 20))
    memory.seal(descriptor)
    broken = BootParts(kernel_fd=descriptor, initramfs_fd=sealed("/lab/initramfs"), command_line="quiet")
    vmm = opened()
    machine = vmm.boot(HARDWARE, broken)
    error = error_of(machine.resume, "provider.machine")
    machine.stop()
    vmm.close()
    nothing_is_left()
    return {"said": error.message}


def altered_snapshot() -> dict[str, Any]:
    """A state that was changed is refused by Firecracker, too; its twin is restored."""
    vmm = opened()
    with vmm.boot(HARDWARE, parts()) as machine:
        machine.resume()
        greeted(machine).close()
        state = saved(machine)
    data = bytearray(os.pread(state.state_fd, 1 << 26, 0))
    data[len(data) // 2] ^= 0xFF
    changed = memory.new_file("state")
    os.write(changed, data)
    memory.seal(changed)
    error = error_of(lambda: vmm.restore(dataclasses.replace(state, state_fd=changed)), "provider.machine")
    vmm.restore(state).stop()
    vmm.close()
    nothing_is_left()
    return {"said": error.message}


def killed() -> dict[str, Any]:
    """Firecracker is killed: whoever waits for the agent is told at once."""
    vmm = opened()
    machine = vmm.boot(HARDWARE, parts())
    machine.resume()
    assert machine.pid is not None
    os.kill(machine.pid, signal.SIGKILL)
    start_s = time.monotonic()
    error = error_of(lambda: machine.connect(READY_S), "provider.machine")
    took_s = time.monotonic() - start_s
    assert took_s < 5, took_s
    assert machine.has_ended()
    assert machine.pid is None
    machine.stop()
    vmm.close()
    nothing_is_left()
    return {"said": error.message, "after ms": round(took_s * 1000)}


def host_killed() -> dict[str, Any]:
    """The host's process is killed: its machines end, and the next driver removes what it left."""
    program = (
        "import sys, time; sys.path[:0] = ['/lab', '/lab/src']\n"
        "import firecracker_scenarios as f\n"
        "machine = f.opened().boot(f.HARDWARE, f.parts()); machine.resume()\n"
        "print(machine.pid, flush=True); time.sleep(600)\n"
    )
    host = subprocess.Popen([sys.executable, "-IB", "-c", program], stdout=subprocess.PIPE)
    assert host.stdout is not None
    pid = int(host.stdout.readline())
    pidfd = os.pidfd_open(pid)
    host.kill()
    host.wait()
    start_s = time.monotonic()
    assert jail.readable(pidfd, timeout_s=10), "the machine outlived its host"
    took_s = time.monotonic() - start_s
    assert left(JAILS) != []
    vmm = opened()
    vmm.close()
    for path in left(CIDS):
        Path(path).unlink()  # nobody holds it; whoever wants the number takes the file over
    nothing_is_left()
    return {"ended after ms": round(took_s * 1000)}


def same_cid() -> dict[str, Any]:
    """Two runs ask for one CID: the second is refused and told so; another number is fine."""
    vmm, second = opened(), opened()
    with vmm.boot(HARDWARE, parts(), cid=9):
        error = error_of(lambda: second.boot(HARDWARE, parts(), cid=9), "provider.cid")
        second.boot(HARDWARE, parts(), cid=10).stop()
    second.boot(HARDWARE, parts(), cid=9).stop()
    vmm.close()
    second.close()
    nothing_is_left()
    return {"said": error.message}


def full_disk() -> dict[str, Any]:
    """There is no room for a snapshot: that is said, the files are gone, and the machine goes on."""
    os.makedirs("/small", exist_ok=True)
    ctypes.CDLL(None).mount(b"small", b"/small", b"tmpfs", 0, b"size=200m,mode=700")
    vmm = opened(jails=Path("/small"))
    with vmm.boot(HARDWARE, parts()) as machine:
        machine.resume()
        link = greeted(machine)
        machine.pause()
        memory_fd, state_fd = memory.new_file("memory"), memory.new_file("state")
        error = error_of(lambda: machine.save(memory_fd, state_fd), "provider.snapshot")
        files = os.listdir(f"/proc/{machine.pid}/root") if machine.pid else []
        assert spec.SAVED_MEMORY not in files, files
        link.close()
    vmm.close()
    assert left("/small") == []
    nothing_is_left()
    return {"said": error.message}


def missing_programs() -> dict[str, Any]:
    """No jailer, no Firecracker, another user, a place without devices: each is named, and nothing runs."""
    said = [
        error_of(lambda: settings.found({"PATH": "/nowhere", "CLOISTER_JAILER": "/usr/bin/jailer"}), "provider.vmm"),
        error_of(
            lambda: settings.found({"PATH": "/nowhere", "CLOISTER_FIRECRACKER": "/usr/bin/firecracker"}),
            "provider.vmm",
        ),
    ]
    user = (
        "import os, sys; os.setgid(1000); os.setuid(1000); sys.path[:0] = ['/lab', '/lab/src']\n"
        "import firecracker_scenarios as f\n"
        "print(f.error_of(f.opened, 'provider.confinement').message)\n"
    )
    done = subprocess.run([sys.executable, "-IB", "-c", user], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "needs root" in done.stdout, done.stdout
    nothing_is_left()
    return {"said": [error.message for error in said] + [done.stdout.strip()]}


def jailer_cannot() -> dict[str, Any]:
    """The jailer cannot make its group: its own words, and nothing is left."""
    vmm = opened()
    broken = dataclasses.replace(vmm._hierarchy, version=2, mounts={"": Path("/sys/fs/cgroup")})
    values = {"memory.max": "not a number", "pids.max": "8"}
    vmm._hierarchy = type("Hierarchy", (), {  # a hierarchy whose bounds the kernel refuses
        "version": 2, "mounts": broken.mounts, "values": lambda *_, **__: values, "paths": broken.paths,
    })()  # fmt: skip
    error = error_of(lambda: vmm.boot(HARDWARE, parts()), "provider.confinement")
    vmm.close()
    nothing_is_left()
    return {"said": error.message}


def kvm_is_usable() -> dict[str, Any]:
    """The probe finds KVM usable, by instructions and by a boot."""
    vmm = opened()

    def boot() -> None:
        with vmm.boot(HARDWARE, parts()) as machine:
            machine.resume()
            machine.connect(READY_S).close()

    proof = kvm.BootProof(vmm=vmm.name, boot=boot)
    findings = kvm.probe(proof=proof, cache=Path("/run/kvm.json"))
    assert findings.is_usable, findings
    assert findings.booted_by == (vmm.name,)
    start_s = time.monotonic()
    assert kvm.probe(proof=proof, cache=Path("/run/kvm.json")) == findings
    vmm.close()
    nothing_is_left()
    return {"evidence": findings.evidence, "from the cache ms": round((time.monotonic() - start_s) * 1000, 1)}
