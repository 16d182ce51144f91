"""What the guest loads: a closed, small set, and nothing more once it runs.

Inside a sandbox there may be no file system to import from, so an import at run time would fail there and only there.
"""

import json
import re
import subprocess
import sys

import pytest

ALLOWED = re.compile(
    r"cloister(\.(errors|spans|version|clock|limits|lang(\..+)?|isolation(\.(wire|wire_messages|wire_errors|guest(\..+)?))?))?"
)

PROGRAM = r"""
(defn twice [x] (* 2 x))
(defmacro thrice [x] `(* 3 ~x))
(import m)
(step "one"
  [(map twice [1 2 3]) (reduce + 0 (range 5)) (str "café" :k 1.5 {:a [nil true]})
   (let [{:keys [a b]} {:a 1 :b "x"}] [a b])
   (loop [n 0] (if (< n 10) (recur (inc n)) n))
   (try (/ 1 0) (catch anything e (getMessage e)))
   (try (call :test.denied) (catch SecurityViolation e (getMessage e)))
   (call :test.echo {:x [1 2.5]}) (thrice (m/f 1))])
"""

SCRIPT = r"""
import json, os, resource, socket, sys, tempfile
directory = tempfile.mkdtemp()
loaded_before = set(sys.modules)
from cloister.isolation.guest import main
from cloister.isolation.wire import Channel, Side, frame_bytes
from cloister.limits import ResourceLimits
loaded_by_import = set(sys.modules) - loaded_before

program = json.loads(sys.stdin.read())
limits = ResourceLimits()
errors = []

def converse(workload):
    # Every message of a run fits the socket's buffer, so that one thread can be both sides
    ours, theirs = socket.socketpair()
    with ours, theirs:
        host = Channel(ours, Side.HOST, frame_bytes(limits))
        host.send({"type": "start", "workload": workload})
        for index, reply in enumerate(REPLIES):
            host.send({"type": "reply", "index": index, **reply})
        main.serve(theirs, limits)
        theirs.close()
        messages = []
        while (message := host.receive()) is not None:
            messages.append(message)
    return messages[-1]

REPLIES = [
    {"error": {"type": "CapabilityDenied", "code": "denied.capability", "message": "no", "kind": "SecurityViolation"}},
    {"value": {"a": 1}},
]
def plan(source):
    return {"kind": "plan", "source": source, "name": "closure", "inputs": {"x": [1, {"~keyword": "k"}]},
            "modules": [["m", "m.rtfs", "(module m (:exports [f]) (defn f [x] (inc x)))"]]}
def operation(name, /, **arguments):
    return {"kind": "operation", "name": name, "arguments": arguments}

file = directory + "/file"
workloads = [
    plan(program), plan("(+ 1"), plan("(lenght [])"), plan("(/ 1 0)"), plan("(fn [x] x)"), plan("(loop [] (recur))"),
    plan("(call :test.denied)"), plan("((fn [x] x) 1 2)"), plan('(parse-json "{")'), plan("(let [x 1] (nth [] 5))"),
    operation("write_file", path=file, content="café"), operation("read_file", path=file),
    operation("read_file_base64", path=file), operation("write_file_base64", path=file, content="/w=="),
    operation("read_file", path=file), operation("write_file_base64", path=file, content="?"),
    operation("list_directory", path=directory), operation("file_exists", path=file),
    operation("make_directory", path=directory + "/a/b", parents=True), operation("get_environment", name="PATH"),
    operation("delete_file", path=directory, recursive=True), operation("read_file", path=file), operation("other"),
    operation("probe", read_path="/etc/hostname", tcp=["127.0.0.1", 9], udp=["127.0.0.1", 9], abstract="none",
              host_pid=os.getpid(), granted="", disk_bytes=0, inodes_count=0),
]
limits = ResourceLimits(steps_count=20_000)
loaded_at_start = set(sys.modules)
endings = [converse(workload) for workload in workloads[:-1]]
if os.geteuid() == 0:  # the probe's attempts are real, and here is no sandbox around them
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
endings.append(converse(workloads[-1]))
print(json.dumps({
    "imported": sorted(loaded_by_import),
    "run_time": sorted(set(sys.modules) - loaded_at_start),
    "endings": endings,
}))
"""


@pytest.fixture(scope="module")
def observed() -> dict[str, list]:
    return in_fresh_interpreter(SCRIPT, json.dumps(PROGRAM))


def in_fresh_interpreter(script: str, text: str = "") -> dict[str, list]:
    command = [sys.executable, "-I", "-c", script]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def foreign(names: list[str]) -> list[str]:
    own = [name for name in names if name.split(".")[0] == "cloister"]
    others = {name.split(".")[0] for name in names} - {"cloister"} - sys.stdlib_module_names
    return [name for name in own if not ALLOWED.fullmatch(name)] + sorted(others)


def test_the_guest_loads_only_its_closed_set(observed: dict[str, list]) -> None:
    assert foreign(observed["imported"]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="sessions are the process provider's, which is Linux's")
def test_a_session_adds_only_its_own() -> None:
    script = (
        "import sys, json; before = set(sys.modules); import cloister.isolation.process.session_server;"
        "print(json.dumps({'imported': sorted(set(sys.modules) - before)}))"
    )
    added = foreign(in_fresh_interpreter(script)["imported"])
    shared = {"copying", "copying.archive", "copying.unpacking", "session", "session.orders"}
    outside = {name for name in added if not name.startswith("cloister.isolation.process")}
    assert outside == {f"cloister.isolation.{name}" for name in shared}
    assert "cloister.isolation.process.warden" in added


@pytest.mark.skipif(sys.platform != "linux", reason="the launcher is the process provider's, which is Linux's")
def test_the_launcher_adds_only_its_own() -> None:
    script = (
        "import sys, json; before = set(sys.modules); import cloister.isolation.process.launcher;"
        "print(json.dumps({'imported': sorted(set(sys.modules) - before)}))"
    )
    added = foreign(in_fresh_interpreter(script)["imported"])
    assert [name for name in added if not name.startswith("cloister.isolation.process")] == []
    assert "cloister.isolation.process.launcher" in added


@pytest.mark.skipif(sys.platform != "linux", reason="the launcher is the process provider's, which is Linux's")
def test_the_launcher_of_programs_has_no_threads_to_look_after() -> None:
    script = (
        "import sys, types, json; sys.modules['inspect'] = types.ModuleType('inspect');"
        "import cloister.isolation.process.launcher; print(json.dumps({'loaded': sorted(sys.modules)}))"
    )
    loaded = in_fresh_interpreter(script)["loaded"]
    assert {"threading", "random", "logging"} & set(loaded) == set()
    assert "cloister.isolation.process.script" in loaded


def test_the_guest_loads_itself(observed: dict[str, list]) -> None:
    expected = {"cloister.isolation.guest.main", "cloister.isolation.guest.attempts", "cloister.lang.program"}
    assert expected <= set(observed["imported"])


def test_a_running_guest_imports_nothing(observed: dict[str, list]) -> None:
    assert observed["run_time"] == []


def test_the_workloads_did_what_they_are_there_for(observed: dict[str, list]) -> None:
    kinds = [
        ending["type"] if ending["type"] == "result" else ending["error"]["code"] for ending in observed["endings"]
    ]
    assert kinds[0] == "result", observed["endings"][0]
    assert "internal.error" not in kinds
    assert kinds[-1] == "result"
    assert {"compile.unknown-name", "limit.steps", "denied.capability", "guest.encoding", "input.operation"} <= set(
        kinds
    )
