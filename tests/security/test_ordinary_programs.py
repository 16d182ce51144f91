"""The twin of all that is refused: programs that mean no harm work in a sandbox, and say nothing of refused calls."""

import pytest

from cloister.isolation.provider import ScriptLanguage, ScriptSource
from cloister.limits import MIB, ResourceLimits

LIMITS = ResourceLimits(wall_ms=60_000, memory_bytes=1024 * MIB, processes_count=100)

COMMANDS = {
    "a pipeline": ("printf 'b\\na\\nb\\n' | sort | uniq -c | sort -rn | head -1", "2 b"),
    "find and xargs": ("mkdir -p a/b && touch a/b/c a/d && find a -type f | sort | xargs -n1 basename", "c\nd"),
    "tar": (
        "mkdir in out && echo hello > in/file && ln in/file in/hard && ln -s file in/soft && chmod 750 in/file && "
        "tar -czf all.tgz in && tar -xzf all.tgz -C out && stat -c %a out/in/file && readlink out/in/soft",
        "750\nfile",
    ),
    "copying": (
        "echo x > a && cp -a a b && cp --reflink=auto a c && mv c d && install -m 700 a e && cat b d e",
        "x\nx\nx",
    ),
    "named pipe": ("mkfifo p && (echo through > p &) && cat p", "through"),
    "sort with threads": ("seq 200000 -1 1 | sort -n --parallel=2 -S 1M | head -1", "1"),
    "dd and truncate": (
        "truncate -s 5M big && dd if=big of=copy bs=64k status=none && sync && stat -c %s copy",
        "5242880",
    ),
    "timeout and signals": ("timeout 0.1 sleep 5; echo $?", "124"),
    "a trap": ("trap 'echo caught' USR1; kill -USR1 $$; echo end", "caught\nend"),
    "job control": ("sleep 0.05 & wait $! && nice -n 1 nohup true && setsid -w true && echo ok", "ok"),
    "limits": ("ulimit -n 64 && ulimit -n", "64"),
    "facts": ("uname -s && nproc > /dev/null && df /tmp > /dev/null && ps ax > /dev/null; echo ok", "Linux\nok"),
    "compression": ("echo hello | gzip | gunzip && echo hello | bzip2 | bunzip2", "hello\nhello"),
    "locks": ("flock lock echo held", "held"),
    "sed in place": ("echo a > f && sed -i s/a/b/ f && cat f", "b"),
    "perl": ("perl -e 'my $p = fork; if (!$p) { exit 3 } waitpid($p, 0); print $? >> 8'", "3"),
    "awk": ("echo 3 4 | awk '{print $1 * $2}'", "12"),
    "lua": ("lua -e 'local p = io.popen(\"echo 7\"); local f = io.tmpfile(); f:write(p:read(\"a\")); "
            "f:seek(\"set\"); print(f:read(\"n\"))'", "7"),
    "gcc": (
        "printf '#include <stdio.h>\\n#include <threads.h>\\nint f(void *x) { *(int *)x = 42; return 0; }\\n"
        "int main(void) { int n = 0; thrd_t t; thrd_create(&t, f, &n); thrd_join(t, 0); printf(\"%%d\\\\n\", n); }' "
        "> a.c && gcc -O1 a.c -o a -pthread && ./a",
        "42",
    ),
    "git": (
        "git init -q r && cd r && git config user.email a@b && git config user.name a && echo x > f && git add f && "
        "git commit -qm first && git branch other && git checkout -q other && echo y >> f && git commit -qam second && "
        "git checkout -q - && git merge -q other && git gc -q && git clone -q . ../copy && cd ../copy && "
        "git log --format=%s",
        "second\nfirst",
    ),
}  # fmt: skip

RUBY = """
require 'socket'; require 'tempfile'; require 'io/console'; require 'etc'
pid = fork { exit 4 }
Process.wait(pid)
thread = Thread.new { sleep 0.01; 5 }
a, b = UNIXSocket.pair
a.write 'hi'
file = Tempfile.new('x'); file.write('y'); file.close
puts [$?.exitstatus, thread.value, b.readpartial(2), `echo 8`.to_i, File.read(file.path), Etc.nprocessors > 0].inspect
"""

NODE = """
const fs = require('fs'), os = require('os'), { execFileSync, spawn } = require('child_process');
const { Worker } = require('worker_threads'), zlib = require('zlib'), crypto = require('crypto');
(async () => {
  await fs.promises.writeFile('/tmp/x', 'text');
  fs.watch('/tmp').close();
  const answer = 'require("worker_threads").parentPort.postMessage(6 * 7)';
  const worker = await new Promise((done, failed) =>
    new Worker(answer, { eval: true }).on('message', done).on('error', failed));
  const child = await new Promise((done) => spawn('sh', ['-c', 'exit 3']).on('exit', done));
  const key = await new Promise((done) => crypto.pbkdf2('a', 'b', 1000, 8, 'sha256', (_, k) => done(k.length)));
  let hot = 0; for (let i = 0; i < 1e7; i++) hot = (hot + i) | 0;
  console.log(JSON.stringify([String(execFileSync('echo', ['5'])).trim(), worker, child, key,
    fs.readFileSync('/tmp/x', 'utf8'), zlib.gunzipSync(zlib.gzipSync('z')).toString(), os.totalmem() > 0,
    new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])) instanceof WebAssembly.Module]));
})();
"""

PYTHON = {
    "threads": """
import threading
seen = []
threads = [threading.Thread(target=seen.append, args=(n,), name=f"worker-{n}") for n in range(20)]
[each.start() for each in threads]
[each.join() for each in threads]
print(len(seen))
""",
    "subprocess": """
import subprocess
child = subprocess.Popen("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, shell=True, start_new_session=True)
print(len(child.communicate(b"x" * 20)[0]))
""",
    "a pool of processes": """
import multiprocessing
def square(n): return n * n
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool: print(sum(pool.map(square, [2, 4])))
""",
    "shared memory": """
import multiprocessing
from multiprocessing.shared_memory import SharedMemory
shared = SharedMemory(create=True, size=20)
shared.buf[0] = 20
again = SharedMemory(shared.name)
value = multiprocessing.get_context("fork").Value("i", again.buf[0])
again.close(); shared.close(); shared.unlink()
print(value.value)
""",
    "asyncio": """
import asyncio
async def main():
    child = await asyncio.create_subprocess_exec("echo", "20", stdout=asyncio.subprocess.PIPE)
    queue = asyncio.Queue()
    await queue.put((await child.communicate())[0])
    return await asyncio.to_thread(int, await queue.get())
print(asyncio.run(main()))
""",
    "sqlite": """
import sqlite3
one = sqlite3.connect("/tmp/database")
one.execute("pragma journal_mode=wal")
one.execute("create table t (x)")
one.executemany("insert into t values (?)", [(1,)] * 20)
one.commit()
print(sqlite3.connect("/tmp/database").execute("select count(*) from t").fetchone()[0])
""",
    "signals and timers": """
import signal
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(20))
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()
print(seen[0])
""",
    "files": """
import os, shutil, tempfile
place = tempfile.mkdtemp()
with tempfile.NamedTemporaryFile(dir=place, delete=False) as file: file.write(b"x" * 20)
shutil.copytree(place, place + "-copy")
os.chmod(file.name, 0o640); os.utime(file.name); os.setxattr(file.name, "user.a", b"b")
os.posix_fallocate(os.open(file.name, os.O_WRONLY), 0, 20)
print(os.stat(file.name).st_size)
shutil.rmtree(place)
""",
    "memory maps": """
import mmap
with open("/tmp/mapped", "w+b") as file:
    file.write(b"x" * 4096); file.flush()
    mapped = mmap.mmap(file.fileno(), 0)
    mapped.madvise(mmap.MADV_WILLNEED); mapped.resize(8192)
    mapped[:2] = b"20"; mapped.flush()
print(int(open("/tmp/mapped", "rb").read(2)))
""",
    "polling": """
import os, select
reader, writer = os.pipe()
polled = select.epoll()
polled.register(reader, select.EPOLLIN)
os.write(writer, b"x" * 20)
print(len(os.read(polled.poll(5)[0][0], 100)))
""",
    "limits": """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
""",
    "machine code": """
import ctypes
print(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n * 2)(10))
""",
    "names of hosts": """
import socket
print(20 * (socket.gethostbyname("localhost") == "127.0.0.1"))
""",
}
"""Each prints 20."""


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(bench, name) -> None:
    command, expected = COMMANDS[name]
    done = bench.program("sh", "-c", command, limits=LIMITS)
    shown = done.stdout.decode()
    assert ("\n".join(line.strip() for line in shown.splitlines()), done.stderr.decode()) == (expected, "")


@pytest.mark.parametrize("name", PYTHON)
def test_python(bench, name) -> None:
    assert bench.python(PYTHON[name], limits=LIMITS) == 20


def test_ruby(bench) -> None:
    done = bench.program("ruby", "-e", RUBY, limits=LIMITS)
    assert (done.stdout.decode(), done.stderr.decode()) == ('[4, 5, "hi", 8, "y", true]\n', "")


def test_node(bench) -> None:
    script = ScriptSource(language=ScriptLanguage.JAVASCRIPT, source=NODE)
    done = bench.execute(script, limits=LIMITS)
    assert done.value == ["5", 42, 3, 8, "text", "z", True, True]
