"""What tests/bench.sh measures of changes: what one costs, whatever else lies in its repository.

The floor of a change is what nobody can do without: `git ls-remote`, `git fetch --depth 1` into a bare repository that is
kept, the folders of the stacks written out of it, `docker service ls`, `docker service inspect`, and one
`docker stack deploy`. Rows that fetch or deploy nothing have a floor without that.
"""

import contextlib
import http.client
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench_scale import Scale

HERE = Path(__file__).resolve().parent
STACK = "large"


class Docker(http.client.HTTPConnection):
    """docker's API by its socket: a look at it costs what is measured next to nothing."""

    def __init__(self, host):
        super().__init__("docker")
        self.path = host.removeprefix("unix://")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def environment_of(self, service):
        self.request("GET", f"/services/{service}")
        answer = json.load(self.getresponse())
        return answer["Spec"]["TaskTemplate"]["ContainerSpec"].get("Env", [])


class Changes:
    def __init__(self, bench):
        self.bench = bench
        self.kept = None
        self.out = bench.folder / "written"
        self.out.mkdir()
        self.whole = []

    # ---- a repository, served ----

    def make(self, name, files, size):
        """A bare repository with one stack and so many files of so many bytes that do not pack."""
        work = self.bench.make_repository(f"{name}-work", [name])
        for number in range(files):
            folder = work / "data" / str(number // 200)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / str(number)).write_bytes(os.urandom(size))
        self.bench.git(work, "-c", "core.compression=0", "add", "--all")
        if files:
            self.bench.git(work, "-c", "core.compression=0", "commit", "--quiet", "--message", "Large")
        bare = self.bench.folder / "changes" / f"{name}.git"
        bare.parent.mkdir(exist_ok=True)
        self.bench.git(work, "-c", "core.compression=0", "clone", "--quiet", "--bare", str(work), str(bare))
        self.bench.git(bare, "-c", "core.compression=0", "repack", "-adq")
        self.bench.git(work, "remote", "add", "origin", str(bare))
        return work

    def push(self, work, message):
        self.bench.commit(work, message)
        self.bench.git(work, "push", "--quiet", "origin", "main")

    @contextlib.contextmanager
    def served(self):
        server = subprocess.Popen([sys.executable, str(HERE / "git_server.py"), "--root",
                                   str(self.bench.folder / "changes"), "--port", "0"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()
            server.wait()

    # ---- what is run ----

    def measured(self, command, **more):
        """Seconds, seconds of CPU with its children, peak MiB of anonymous memory of the process itself; any exit but 2."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        process = self.bench.start(command, **more)
        peak = 0
        while process.poll() is None:
            with contextlib.suppress(OSError, IndexError, ValueError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = max(peak, int(status.split("RssAnon:")[1].split()[0]))
            time.sleep(0.002)
        took = time.perf_counter() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode not in (0, 3):
            sys.exit(f"bench: {command[:4]} failed with {process.returncode}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return took, cpu, peak / 1024

    def reconcile(self, database):
        return self.measured([self.bench.dockerops, "reconcile"], DOCKEROPS_DB_PATH=database)

    def until(self, database, service, is_live):
        """Seconds of a run until the service has what it is to have; CPU and memory as they are at its end."""
        docker, ended = Docker(self.bench.lab["DOCKER_HOST"]), []
        begin = time.perf_counter()
        run = threading.Thread(target=lambda: ended.append(self.reconcile(database)))
        run.start()
        while not is_live(docker.environment_of(service)):
            time.sleep(0.005)
        took = time.perf_counter() - begin
        run.join()
        self.whole.append(ended[0][0])
        return took, *ended[0][1:]

    def steps(self, url, fetches, deploys, stack=STACK, services=None):
        """The same by hand."""
        def run(*command):
            if self.bench.start(list(command)).wait() != 0:
                sys.exit(f"bench: {command[:3]} failed")
        begin = time.perf_counter()
        run("git", "ls-remote", url)
        if fetches:
            run("git", "-C", str(self.kept), "fetch", "--quiet", "--depth", "1", url, "main")
        head = "FETCH_HEAD" if fetches else "HEAD"
        archive = f"git -C {self.kept} archive {head} stacks.yaml {stack} | tar -x -C {self.out}"
        run("sh", "-c", archive)
        run("docker", "service", "ls")
        run("docker", "service", "inspect", *(services or [f"{stack}_app"]))
        if deploys:
            run("docker", "stack", "deploy", "--compose-file", str(self.out / stack / "docker-compose.yml"), stack)
        return time.perf_counter() - begin

    def row(self, what, prepare, ours, floor, target, runs=5):
        """`prepare` makes the change, once for each side."""
        times, floors, cpu, peak = [], [], [], []
        for _ in range(runs):
            prepare()
            took, spent, memory = ours()
            times.append(took)
            cpu.append(spent)
            peak.append(memory)
            prepare()
            floors.append(floor())
        median = statistics.median
        self.bench.row(what, median(times), median(floors), target)
        self.bench.plain("  CPU", f"{median(cpu):.2f} s", "-")
        self.bench.plain("  anonymous memory, at most", f"{max(peak):.1f} MiB", "at most 40 MiB")

    # ---- what is measured ----

    def among(self, repository, stacks, database):
        """One of so many stacks changes, of a source that is watched and at rest."""
        stack, number = stacks[len(stacks) // 2], iter(range(100, 1000))
        url, services, revision = f"file://{repository}", [f"{name}_app" for name in stacks], ["1"]
        self.kept = self.bench.folder / f"kept-{len(stacks)}.git"
        self.bench.run(["git", "clone", "--quiet", "--bare", "--depth", "1", url, str(self.kept)])

        def change():
            revision[0] = str(next(number))
            self.bench.write_stack(repository, stack, revision[0])
            self.bench.commit(repository, "Change one stack")

        changed = lambda: self.until(database, f"{stack}_app", lambda env: f"REVISION={revision[0]}" in env)
        self.row(f"one change among {len(stacks)}, until the new spec is live", change, changed,
                 lambda: self.steps(url, True, True, stack, services), "at most 1.5 x floor")
        self.until_told()

    def measure(self, files, size, first_alone=False):
        self.kept = self.bench.folder / "kept.git"
        print(f"   a repository of {files} files, {files * size >> 20} MiB", file=sys.stderr, flush=True)
        work, small = self.make(STACK, files, size), self.make("small", 0, 0)
        database = str(self.bench.folder / "changes-state" / "dockerops.db")
        with self.served() as server:
            url, small_url = f"{server}/{STACK}.git", f"{server}/small.git"
            begin = time.perf_counter()
            self.bench.run(["git", "clone", "--quiet", "--bare", "--depth", "1", url, str(self.kept)])
            floor = time.perf_counter() - begin
            took, cpu, peak = self.measured([self.bench.dockerops, "watch", url], DOCKEROPS_DB_PATH=database)
            self.bench.row("first fetch and deploy; floor without the deploy", took, floor, "at most 1.1 x floor")
            self.bench.plain("  CPU", f"{cpu:.2f} s", "-")
            self.bench.plain("  anonymous memory", f"{peak:.1f} MiB", "at most 40 MiB")
            Scale(self.bench).small_memory(lambda: self.reconcile(database), url, 128, took)
            if first_alone:
                self.bench.remove_stacks([STACK])
                return
            number = iter(range(2, 1000))

            revision = ["1"]

            def change_stack():
                revision[0] = str(next(number))
                self.bench.write_stack(work, STACK, revision[0])
                self.push(work, "Change the stack")

            def change_file():
                (work / "data" / "0" / "0").write_bytes(os.urandom(size))
                self.push(work, "Change a file that no stack names")

            def drift():
                self.bench.run(["docker", "service", "update", "--quiet", "--detach", "--env-add",
                                f"BY_HAND={next(number)}", f"{STACK}_app"])

            ours = lambda: self.reconcile(database)
            changed = lambda: self.until(database, f"{STACK}_app", lambda env: f"REVISION={revision[0]}" in env)
            right = lambda: self.until(
                database, f"{STACK}_app", lambda env: not any(line.startswith("BY_HAND=") for line in env))
            limit = "at most 1.5 x floor"
            self.row("its stack changes, until the new spec is live", change_stack, changed,
                     lambda: self.steps(url, True, True), limit)
            self.until_told()
            ours()
            self.row("a file changes that no stack names", change_file, ours,
                     lambda: self.steps(url, True, False), limit)
            ours()
            self.row("drift is put back", drift, right, lambda: self.steps(url, False, True), limit)
            self.until_told()
            ours()
            self.bench.write_stack(work, STACK, next(number), more="configs: {gone: {file: gone}}\n")
            self.push(work, "Break the stack")
            ours()
            self.row("a stack that stays broken", lambda: None, ours, lambda: self.steps(url, False, False), limit)
            disk = self.bench.run(["du", "-sm", f"{database}.objects"]).split()[0]
            self.bench.plain("what is kept on disk", f"{disk} MiB", "at most twice the repository")
            self.bench.run([self.bench.dockerops, "watch", small_url], DOCKEROPS_DB_PATH=database)
            self.neighbour(work, small, database, number, size)
        self.bench.remove_stacks([STACK, "small"])

    def until_told(self):
        self.bench.plain("  until the run has seen its tasks run", f"{statistics.median(self.whole):.2f} s", "-")
        self.whole.clear()

    def neighbour(self, work, small, database, number, size):
        """From a push to both until the small one's new spec is live, beside a push to the small one alone."""
        def push_small():
            revision = next(number)
            self.bench.write_stack(small, "small", revision)
            self.push(small, "Change the small one")
            return revision

        def until_live(revision):
            return self.until(database, "small_app", lambda env: f"REVISION={revision}" in env)[0]

        alone, beside = [], []
        for _ in range(3):
            alone.append(until_live(push_small()))
            for file in range(100):
                (work / "data" / "1" / str(200 + file)).write_bytes(os.urandom(size))
            self.push(work, "Change a part of the large one")
            beside.append(until_live(push_small()))
        median = statistics.median
        self.bench.row("a small source beside it, pushed together; floor: alone", median(beside), median(alone),
                       "at most 1.5 x floor")
