"""What tests/bench.sh measures of size: a small memory, many stacks, many sources, and one that waits among many.

A question about many services has docker's own answer for a floor: `docker service ls`, then `docker service inspect`.
"""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
TICKS = os.sysconf("SC_CLK_TCK")
UNPLACED = "      placement: {constraints: [node.labels.bench == none]}\n"


class Cgroup:
    """A memory cgroup of either version, gone at the end of the `with`. What its processes read and write counts too."""

    def __init__(self, mebibytes):
        self.bytes = mebibytes << 20
        self.is_v2 = "memory" in self.read(CGROUPS / "cgroup.controllers").split()
        self.folder = (CGROUPS if self.is_v2 else CGROUPS / "memory") / f"dockerops-bench-{os.getpid()}"

    def __enter__(self):
        if self.is_v2 and "memory" not in self.read(CGROUPS / "cgroup.subtree_control").split():
            (CGROUPS / "cgroup.subtree_control").write_text("+memory")
        self.folder.mkdir()
        self.write("memory.max" if self.is_v2 else "memory.limit_in_bytes", self.bytes)
        with contextlib.suppress(OSError):
            # Without swap, where the machine has any.
            self.write(*(("memory.swap.max", 0) if self.is_v2 else ("memory.memsw.limit_in_bytes", self.bytes)))
        return self

    def __exit__(self, *_):
        for _ in range(100):
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.05)

    @staticmethod
    def read(path):
        try:
            return path.read_text()
        except OSError:
            return ""

    def write(self, name, value):
        (self.folder / name).write_text(str(value))

    def within(self, command):
        """The command, run inside, with all that it starts."""
        return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.folder), *command]

    def killed(self):
        """How many processes were killed for want of memory."""
        events = self.read(self.folder / ("memory.events" if self.is_v2 else "memory.oom_control"))
        return sum(int(line.split()[1]) for line in events.splitlines() if line.startswith("oom_kill "))

    def anonymous(self):
        """MiB now of what is no page of a file."""
        stat = self.read(self.folder / "memory.stat").splitlines()
        return sum(int(line.split()[1]) for line in stat if line.split()[0] == ("anon" if self.is_v2 else "rss")) / (1 << 20)


class Daemon:
    """`dockerops run` with a page, ended at the end of the `with`."""

    def __init__(self, bench, name, **more):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.log = bench.folder / f"{name}.log"
        self.out = self.log.open("w")
        environment = bench.environment(DOCKEROPS_LISTEN=self.address, DOCKEROPS_SYNC_INTERVAL="86400", **more)
        self.process = subprocess.Popen([bench.dockerops, "run"], env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.out, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.out.close()

    def cycles(self, count, seconds):
        """Waits for the end of so many syncs; the seconds that took."""
        begin = time.perf_counter()
        while (text := self.log.read_text()).count("\ncycle ") < count:
            if self.process.poll() is not None or time.perf_counter() - begin > seconds:
                sys.exit(f"bench: the daemon had no {count} syncs in {seconds} s:\n{text[-3000:]}")
            time.sleep(0.005)
        return time.perf_counter() - begin

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=120) as answer:
            return answer.read()

    def memory(self):
        """MiB of it that are resident, and that are anonymous."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        kinds = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss") or line.startswith("VmRSS")}
        return int(kinds["VmRSS"]) / 1024, int(kinds["RssAnon"]) / 1024


def stat(pid):
    """Seconds of CPU of a process, and of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    user, system, of_children, system_of_children = (int(field) / TICKS for field in fields[11:15])
    return user + system, of_children + system_of_children


class Scale:
    def __init__(self, bench):
        self.bench = bench

    # ---- a small memory ----

    def small_memory(self, reconcile, url, mebibytes, unbounded):
        """The first fetch of what is at `url`, and what follows, in a cgroup; `unbounded` is its time without one."""
        bench = self.bench
        environment = {"DOCKEROPS_DB_PATH": str(bench.folder / "small-memory" / "dockerops.db")}
        try:
            with Cgroup(mebibytes) as cgroup:
                for what, command, floor in [("first fetch", "watch", unbounded), ("idle", "reconcile", None)]:
                    words = [bench.dockerops, command] + ([url] if command == "watch" else [])
                    begin, peak = time.perf_counter(), 0
                    process = bench.start(cgroup.within(words), **environment)
                    while process.poll() is None:
                        peak = max(peak, cgroup.anonymous())
                        time.sleep(0.01)
                    took = time.perf_counter() - begin
                    if process.returncode != 0 or cgroup.killed():
                        sys.exit(f"bench: {what} in {mebibytes} MiB ended with {process.returncode}, {cgroup.killed()} killed")
                    bench.row(f"{what} in a cgroup of {mebibytes} MiB; floor: without it", took, floor or reconcile()[0], "-")
                    bench.plain("  anonymous memory of all in it", f"{peak:.1f} MiB", "-")
        except OSError as error:
            bench.plain(f"a cgroup of {mebibytes} MiB", f"not measured: {error}", "-")

    # ---- one that waits among many ----

    def dockerd(self):
        """The manager's."""
        first = Path(self.bench.lab["LAB_DIR"], "node1", "pid").read_text().strip()
        for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
                return int(pid)
        sys.exit("bench: the manager has no dockerd")

    def waiting_among(self, count, seconds):
        bench = self.bench
        print(f"   waiting {seconds} s for one stack among {count}", file=sys.stderr, flush=True)
        stacks = [f"among{number}" for number in range(count)]
        repository, dockerd = bench.make_repository("among", stacks), self.dockerd()
        more = {"DOCKEROPS_DEPLOY_TIMEOUT": str(seconds + 10)}
        with bench.watched("among", [f"file://{repository}"], stacks) as database:
            def wait(revision, **environment):
                bench.write_stack(repository, stacks[0], revision, replicas=1, more=UNPLACED)
                bench.commit(repository, "No node takes it")
                bench.calls.unlink(missing_ok=True)
                process = bench.start([bench.dockerops, "reconcile"], DOCKEROPS_DB_PATH=database, **more, **environment)
                # The look at all of them, and the deploy, are over by then.
                time.sleep(5)
                before = (*stat(process.pid), *stat(dockerd)[:1], self.calls())
                time.sleep(seconds)
                after = (*stat(process.pid), *stat(dockerd)[:1], self.calls())
                if process.wait() != 3:
                    sys.exit("bench: it did not wait")
                return [(end - begin) / seconds for begin, end in zip(before, after)]

            time.sleep(3)
            begin = stat(dockerd)[0]
            time.sleep(10)
            idle = (stat(dockerd)[0] - begin) / 10
            own, of_docker, of_dockerd, _ = wait(2)
            calls = wait(3, PATH=f"{bench.wrapper}:{os.environ['PATH']}")[3]
        bench.plain(f"waiting for 1 stack among {count}: its docker processes", f"{of_docker:.1%} of a core", "at most 9.7 %")
        bench.plain("  dockerd of the manager", f"{of_dockerd:.1%} of a core", "at most 13.3 %")
        bench.plain("  dockerd before that", f"{idle:.1%} of a core", "-")
        bench.plain("  itself", f"{own:.1%} of a core", "-")
        bench.plain("  docker processes a second", f"{calls:.2f}", "at most 2")

    def calls(self):
        return self.bench.calls.read_text().count("\n") if self.bench.calls.exists() else 0

    # ---- many stacks ----

    def many_stacks(self, count):
        """Page, API and `status`, when nothing of it was known before, beside docker's own answer."""
        bench = self.bench
        print(f"   1 source, {count} stacks", file=sys.stderr, flush=True)
        stacks = [f"many{number}" for number in range(count)]
        repository = bench.make_repository("many", stacks)
        source, services = f"file://{repository}", [f"{stack}_app" for stack in stacks]

        def docker():
            bench.start(["docker", "service", "ls"]).wait()
            return [bench.start(["docker", "service", "inspect", *services])]

        with bench.watched("many", [source], stacks) as database:
            bench.idle(f"idle, 1 source, {count} stacks", [source], services, database)
            with Daemon(bench, "many", DOCKEROPS_DB_PATH=database) as daemon:
                daemon.cycles(1, 120)
                rows = sqlite3.connect(database)

                def asked(path):
                    def action():
                        # Who writes to the database makes what was known of it old.
                        with rows:
                            rows.execute("UPDATE repository_cache SET last_watch = ?", [time.ctime()])
                        return self.answered(daemon, path, count)
                    return action

                status = lambda: [bench.start([bench.dockerops, "status"], DOCKEROPS_DB_PATH=database)]
                median = bench.medians(bench.options.runs, docker=docker, status=status, page=asked("/"),
                                       api=asked("/api/v1/stacks"), again=lambda: self.answered(daemon, "/", count))
                for what, name in [("`status`", "status"), ("page", "page"), ("`/api/v1/stacks`", "api")]:
                    bench.row(f"  {what}; floor: docker's own answer", median[name], median["docker"],
                              "at most 300 ms more")
                bench.plain("  page, asked for again", f"{median['again'] * 1000:.1f} ms", "-")
                resident, anonymous = daemon.memory()
                bench.plain("  the daemon's memory", f"{resident:.1f} MiB", "-")
                bench.plain("  of that anonymous", f"{anonymous:.1f} MiB", "-")
                rows.close()

    @staticmethod
    def answered(daemon, path, count):
        told = daemon.get(path)
        found = len(json.loads(told)["stacks"]) if path.startswith("/api") else told.count(b"id=\"stack-")
        if found != count:
            sys.exit(f"bench: {path} tells of {found} stacks, not {count}")

    # ---- many sources ----

    def many_sources(self, count):
        bench = self.bench
        print(f"   {count} sources, a stack each", file=sys.stderr, flush=True)
        stacks = [f"each{number}" for number in range(count)]
        repositories = {stack: bench.make_repository(f"repo-{stack}", [stack]) for stack in stacks}
        sources = [f"file://{repository}" for repository in repositories.values()]
        services = [f"{stack}_app" for stack in stacks]
        database = str(bench.folder / "each-state" / "dockerops.db")
        with Daemon(bench, "each", DOCKEROPS_DB_PATH=database, DOCKEROPS_REPOS=",".join(sources)) as daemon:
            took = daemon.cycles(1, 1200)
            bench.plain(f"{count} sources, a stack each: all watched and deployed", f"{took:.1f} s", "-")
            times = []
            for revision in range(2, 5):
                bench.write_stack(repositories[stacks[0]], stacks[0], revision)
                bench.commit(repositories[stacks[0]], "Change it")
                times.append(self.until_live(daemon, f"{stacks[0]}_app", f"REVISION={revision}"))
                daemon.cycles(revision, 120)
            bench.plain("  a push, from a hangup until its spec is live", f"{statistics.median(times) * 1000:.0f} ms", "-")
            resident, anonymous = daemon.memory()
            bench.plain("  the daemon's memory", f"{resident:.1f} MiB", "-")
            bench.plain("  of that anonymous", f"{anonymous:.1f} MiB", "-")
        bench.idle(f"idle, {count} sources, a stack each", sources, services, database)
        bench.remove_stacks(stacks)

    def until_live(self, daemon, service, text):
        begin = time.perf_counter()
        daemon.process.send_signal(signal.SIGHUP)
        while text not in self.bench.run(["docker", "service", "inspect", service]):
            if time.perf_counter() - begin > 60:
                sys.exit("bench: the push was not deployed")
            time.sleep(0.01)
        return time.perf_counter() - begin
