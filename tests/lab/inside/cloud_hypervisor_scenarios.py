"""What Cloud Hypervisor's driver does with a real one, KVM, and the walls of the process provider."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from common import HARDWARE, READY_S, Watch, error_of, greeted, left, parts, saved, worked

from cloister.isolation.microvm.cids import Cids
from cloister.isolation.microvm.cloud_hypervisor.driver import CloudHypervisorVmm
from cloister.isolation.microvm.confinement import Confinement
from cloister.isolation.microvm.vmm import Drive, RateLimit

CIDS = Path("/run/ch-cids")


def life() -> dict[str, Any]:
    """Boot, work, save, go on, restore, work, end; nothing is left."""
    watch = Watch()
    confinement = Confinement()
    vmm = CloudHypervisorVmm(confinement, Cids(CIDS), program="/usr/bin/cloud-hypervisor")
    machine = vmm.boot(HARDWARE, parts())
    watch.step("confined and described")
    machine.resume()
    link = greeted(machine)
    watch.step("ready")
    state = saved(machine)
    watch.step("saved")
    link.close()
    machine.resume()
    worked(greeted(machine), 5)
    watch.step("worked")
    status = Path(f"/proc/{machine.pid}/status").read_text()
    watch.figures["status"] = [line for line in status.splitlines() if line.startswith(("Cap", "Seccomp", "NoNew"))]
    watch.figures["usage"] = dataclasses.asdict(machine.usage())
    assert "CapEff:\t0000000000000000" in status
    for number in range(2):
        with vmm.restore(state) as other:
            watch.step(f"restored {number}: loaded")
            other.resume()
            link = greeted(other)
            watch.step(f"restored {number}: ready")
            worked(link, number)
            watch.step(f"restored {number}: worked")
            watch.figures[f"restored {number}: usage"] = dataclasses.asdict(other.usage())
    machine.stop()
    confinement.close()
    assert left(str(CIDS), "/tmp") == [], left(str(CIDS), "/tmp")
    return watch.figures


def devices() -> dict[str, Any]:
    """A drive with bounds and a balloon; counters; the same CID twice."""
    Path("/run/drive").write_bytes(b"CLOISTER" * 512 * 1024)
    descriptor = os.open("/run/drive", os.O_RDONLY)
    rate = RateLimit(bytes_per_s=1024 * 1024, ops_per_s=500)
    drive = Drive(name="extra", descriptor=descriptor, path="/run/drive", rate=rate)
    confinement = Confinement()
    vmm = CloudHypervisorVmm(confinement, Cids(CIDS), program="/usr/bin/cloud-hypervisor", has_balloon=True)
    with vmm.boot(HARDWARE, parts((drive,)), cid=8) as machine:
        error = error_of(lambda: vmm.boot(HARDWARE, parts(), cid=8), "provider.cid")
        machine.resume()
        machine.connect(READY_S).close()
        greeted(machine).close()
        info = machine.api.info()
        assert info["state"] == "Running", info
        assert info["config"]["vsock"]["cid"] == 8
        assert info["config"]["disks"][0]["rate_limiter_config"]["ops"]["size"] == 500
        counters = machine.metrics()
        machine.set_balloon(16)
        state = saved(machine)
    state = dataclasses.replace(state, drives=(drive,))
    with vmm.restore(state) as other:
        other.resume()
        greeted(other).close()
    vmm.close()
    confinement.close()
    return {"said": error.message, "counters": counters}
