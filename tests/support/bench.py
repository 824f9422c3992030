#!/usr/bin/env python3
"""What tests/bench.sh measures: DockerOps and its floor in turn, on a lab that is up.

The floor of a set of sources and services is: `git ls-remote` of every source, all at once; then one
`docker service ls`; then one `docker service inspect` of the services. Because git and docker can also be
asked at the same time, that shorter floor ("at once") is measured too.
"""

import argparse
import contextlib
import hmac
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench_change import Changes
from bench_rollback import Rollbacks
from bench_scale import Scale

COMPOSE = """version: "3.8"
services:
  app:
    image: {image}
    environment:
      REVISION: "{revision}"
    deploy:
      replicas: {replicas}
"""
AT_ONCE = 8
HERE = Path(__file__).resolve().parent


def progress(text):
    print(f"   {text}", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.lab = dict(line.split("=", 1) for line in Path(options.lab, "env").read_text().split())
        self.docker = shutil.which("docker")
        self.dockerops = str(Path(options.dockerops).resolve())
        self.home = folder / "home"
        self.home.mkdir()
        self.calls = folder / "calls"
        self.wrapper = self.make_wrapper()
        self.rows = []

    def make_wrapper(self):
        """A `docker` that writes down its calls; used for counting only, never while time is taken."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        script = bin_folder / "docker"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{self.calls}"\nexec "{self.docker}" "$@"\n')
        script.chmod(0o755)
        return bin_folder

    def environment(self, **more):
        path = os.environ["PATH"]
        return {"PATH": path, "HOME": str(self.home), "DOCKER_HOST": self.lab["DOCKER_HOST"], **more}

    def run(self, command, **more):
        """Runs it to its end and returns its stdout; a failure ends the benchmark, for its figures would lie."""
        done = subprocess.run(command, env=self.environment(**more), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"bench: {command[:4]} failed with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def start(self, command, **more):
        return subprocess.Popen(command, env=self.environment(**more), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def timed(self, action):
        """Seconds the processes take that `action` starts and returns, or starts and awaits itself."""
        begin = time.perf_counter()
        for process in action() or []:
            if process.wait() != 0:
                sys.exit(f"bench: {process.args[:4]} failed with {process.returncode}")
        return time.perf_counter() - begin

    def medians(self, runs, **actions):
        """Runs the actions in turn, so that what else the machine does hits all alike."""
        for action in actions.values():
            self.timed(action)
        times = {name: [] for name in actions}
        for _ in range(runs):
            for name, action in actions.items():
                times[name].append(self.timed(action))
        return {name: statistics.median(values) for name, values in times.items()}

    # ---- what is run ----

    def reconcile(self, database):
        return lambda: [self.start([self.dockerops, "reconcile"], DOCKEROPS_DB_PATH=database)]

    def remotes(self, sources):
        return [self.start(["git", "ls-remote", source]) for source in sources]

    def floor(self, sources, services):
        def action():
            for command in self.remotes(sources):
                command.wait()
            self.start(["docker", "service", "ls"]).wait()
            return [self.start(["docker", "service", "inspect", *services])]
        return action

    def floor_at_once(self, sources, services):
        def action():
            remotes = self.remotes(sources)
            self.start(["docker", "service", "ls"]).wait()
            return [self.start(["docker", "service", "inspect", *services]), *remotes]
        return action

    def counted_reconcile(self, database):
        """The docker calls of one reconcile."""
        self.calls.unlink(missing_ok=True)
        path = f"{self.wrapper}:{os.environ['PATH']}"
        self.run([self.dockerops, "reconcile"], PATH=path, DOCKEROPS_DB_PATH=database)
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def peak_memory(self, database):
        """Peak resident MiB of one reconcile: of the process alone, and the largest with the docker it runs."""
        process = self.reconcile(database)()[0]
        own = 0
        while process.poll() is None:
            # The high-water mark never falls, so the last look before the end is close to the truth.
            with contextlib.suppress(OSError, IndexError, ValueError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                own = max(own, int(status.split("VmHWM:")[1].split()[0]))
            time.sleep(0.0005)
        report = self.folder / "time"
        self.run(["/usr/bin/time", "-v", "-o", str(report), self.dockerops, "reconcile"], DOCKEROPS_DB_PATH=database)
        line = next(line for line in report.read_text().splitlines() if "Maximum resident" in line)
        return own / 1024, int(line.split(":")[1]) / 1024

    # ---- repositories ----

    def git(self, repository, *arguments):
        self.run(["git", "-C", str(repository), "-c", "user.name=Bench", "-c", "user.email=bench@example.org",
                  *arguments], GIT_CONFIG_NOSYSTEM="1")

    def write_stack(self, repository, name, revision, replicas=0, more=""):
        image = f"{self.lab['LAB_REGISTRY']}/app:1"
        (repository / name).mkdir(exist_ok=True)
        text = COMPOSE.format(image=image, revision=revision, replicas=replicas) + more
        (repository / name / "docker-compose.yml").write_text(text)

    def commit(self, repository, message):
        self.git(repository, "add", "--all")
        self.git(repository, "commit", "--quiet", "--message", message)

    def make_repository(self, name, stacks):
        repository = self.folder / name
        repository.mkdir()
        self.git(repository, "init", "--quiet", "--initial-branch=main")
        (repository / "stacks.yaml").write_text("".join(f"- name: {stack}\n" for stack in stacks))
        for stack in stacks:
            self.write_stack(repository, stack, 1)
        self.commit(repository, "Begin")
        return repository

    def remove_stacks(self, stacks):
        self.run(["docker", "stack", "rm", *stacks])
        deadline = time.monotonic() + 120 + len(stacks)
        while time.monotonic() < deadline:
            left = [self.run(["docker", kind, "ls", "-q", "--filter", "label=com.docker.stack.namespace"])
                    for kind in ("service", "network", "container")]
            if not "".join(left).strip():
                return
            time.sleep(0.5)

    @contextlib.contextmanager
    def watched(self, name, sources, stacks):
        """Watches the sources with a database of their own; removes the stacks in the end."""
        database = str(self.folder / name / "state" / "dockerops.db")
        begin = time.perf_counter()
        for source in sources:
            self.run([self.dockerops, "watch", source], DOCKEROPS_DB_PATH=database)
        progress(f"deployed {len(stacks)} stacks in {time.perf_counter() - begin:.1f} s")
        yield database
        self.remove_stacks(stacks)

    # ---- what is measured ----

    def idle(self, what, sources, services, database, floor_sources=None):
        calls = self.counted_reconcile(database)
        deploys = sum(call.startswith("stack deploy") for call in calls)
        floor_sources = floor_sources or sources
        median = self.medians(
            self.options.runs,
            dockerops=self.reconcile(database),
            floor=self.floor(floor_sources, services),
            at_once=self.floor_at_once(floor_sources, services),
        )
        own, with_docker = self.peak_memory(database)
        self.row(what, median["dockerops"], median["floor"], "time at most 1.25 x floor")
        self.row("  beside the floor at once", median["dockerops"], median["at_once"], "-")
        self.plain("  docker processes", len(calls), "at most 3")
        if deploys:
            self.plain("  of these `stack deploy`: not idle!", deploys, "0")
        self.plain("  peak memory, itself", f"{own:.1f} MiB", "at most 30 MiB")
        self.plain("  peak memory, or that of its docker", f"{with_docker:.1f} MiB", "-")

    def one_source(self, count):
        progress(f"1 source, {count} stacks")
        stacks = [f"bench{number}" for number in range(count)]
        repository = self.make_repository(f"one-{count}", stacks)
        source, services = f"file://{repository}", [f"{stack}_app" for stack in stacks]
        with self.watched(f"one-{count}", [source], stacks) as database:
            self.idle(f"idle, 1 source, {count} stacks", [source], services, database)
            if count == max(self.options.stacks):
                self.one_change(repository, stacks, database)
            if count in (20, 200):
                self.changes().among(repository, stacks, database)

    def changes(self):
        self.changes_once = getattr(self, "changes_once", None) or Changes(self)
        return self.changes_once

    def one_change(self, repository, stacks, database):
        self.write_stack(repository, stacks[len(stacks) // 2], 2)
        self.commit(repository, "Change one stack")
        calls = self.counted_reconcile(database)
        deploys = sum(call.startswith("stack deploy") for call in calls)
        times = []
        for revision in range(3, 6):
            self.write_stack(repository, stacks[len(stacks) // 2], revision)
            self.commit(repository, "Change it again")
            times.append(self.timed(self.reconcile(database)))
        self.plain(f"one change among {len(stacks)}: `stack deploy` calls", deploys, "exactly 1")
        self.plain("  docker processes", len(calls), "-")
        self.plain("  time", milliseconds(statistics.median(times)), "-")

    def until_all_run(self, count, begin):
        """Seconds since `begin` until so many services run, as Swarm says."""
        while True:
            replicas = self.run(["docker", "service", "ls", "--filter", "name=new", "--format", "{{.Replicas}}"]).split()
            if replicas.count("1/1") == count:
                return time.perf_counter() - begin
            if time.perf_counter() - begin > 300:
                sys.exit(f"bench: of {count} services not all run: {replicas}")
            time.sleep(0.1)

    def by_hand(self, repository, stacks):
        """`docker stack deploy`, eight at a time."""
        queue, running = list(stacks), []
        while queue or running:
            running = [process for process in running if process.poll() is None]
            while queue and len(running) < AT_ONCE:
                file = repository / queue[0] / "docker-compose.yml"
                running.append(self.start(["docker", "stack", "deploy", "--compose-file", str(file), queue.pop(0)]))
            time.sleep(0.005)

    def new_stacks(self, count, runs):
        progress(f"{count} new stacks, a task each")
        stacks = [f"new{number}" for number in range(count)]
        repository = self.make_repository("new", stacks)
        for stack in stacks:
            self.write_stack(repository, stack, 1, replicas=1)
        self.commit(repository, "A task each")
        ours, floors, told, updates = [], [], [], []
        for number in range(runs):
            begin = time.perf_counter()
            self.by_hand(repository, stacks)
            floors.append(self.until_all_run(count, begin))
            self.remove_stacks(stacks)
            database, begin = str(self.folder / f"new-{number}" / "dockerops.db"), time.perf_counter()
            process = self.start([self.dockerops, "watch", f"file://{repository}"], DOCKEROPS_DB_PATH=database)
            ours.append(self.until_all_run(count, begin))
            if process.wait() != 0:
                sys.exit("bench: the new stacks were not deployed")
            told.append(time.perf_counter() - begin - ours[-1])
            for stack in stacks:
                self.write_stack(repository, stack, number + 2, replicas=1)
            self.commit(repository, "Change all")
            self.run([self.dockerops, "reconcile"], DOCKEROPS_DB_PATH=database)
            ended = time.time()
            states = self.run(["docker", "service", "inspect", "--format", "{{.UpdateStatus.CompletedAt.UnixNano}}",
                               *[f"{stack}_app" for stack in stacks]])
            updates.append(ended - max(int(state) for state in states.split()) / 1e9)
            self.remove_stacks(stacks)
        median = statistics.median
        self.row(f"{count} new stacks all run; floor: `stack deploy`, {AT_ONCE} at a time", median(ours), median(floors),
                 "time at most 1.1 x floor")
        self.plain("  told after all ran (new services are watched for 5 s)", milliseconds(median(told)), "-")
        self.plain(f"  {count} changed: told after Swarm's own `completed`", milliseconds(median(updates)), "at most 1 s")

    def waiting(self, seconds):
        progress(f"waiting {seconds} s for a stack that no node takes")
        repository = self.make_repository("waits", ["waits"])
        placement = "      placement: {constraints: [node.labels.bench == none]}\n"
        self.write_stack(repository, "waits", 1, replicas=1, more=placement)
        self.commit(repository, "No node takes it")
        self.calls.unlink(missing_ok=True)
        environment = self.environment(
            PATH=f"{self.wrapper}:{os.environ['PATH']}", DOCKEROPS_DEPLOY_TIMEOUT=str(seconds),
            DOCKEROPS_DB_PATH=str(self.folder / "waits-state" / "dockerops.db"))
        begin = time.perf_counter()
        done = subprocess.run([self.dockerops, "watch", f"file://{repository}"], env=environment, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        took = time.perf_counter() - begin
        if done.returncode != 3 or took < seconds:
            sys.exit(f"bench: it did not wait: {done.returncode}\n{done.stdout}{done.stderr}")
        calls = self.calls.read_text().splitlines()
        looks = [number for number, call in enumerate(calls) if call.startswith("service ps")]
        waited = len(calls[looks[0]:looks[-1]])
        self.plain(f"waiting {seconds} s: docker processes a second", f"{waited / seconds:.2f}", "at most 2")
        self.plain("  of all that run", f"{len(calls) / took:.2f}", "-")
        self.remove_stacks(["waits"])

    def delayed_sources(self, count):
        progress(f"{count} sources that answer after 200 ms, a stack each")
        served = self.folder / "served"
        served.mkdir()
        stacks = [f"far{number}" for number in range(count)]
        for stack in stacks:
            repository = self.make_repository(f"repo-{stack}", [stack])
            self.git(repository, "clone", "--quiet", "--bare", str(repository), str(served / f"{stack}.git"))
        server = subprocess.Popen([sys.executable, str(HERE / "git_server.py"), "--root", str(served), "--port", "0",
                                   "--delay", "0.2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            port = int(server.stdout.readline())
            sources = [f"http://127.0.0.1:{port}/{stack}.git" for stack in stacks]
            services = [f"{stack}_app" for stack in stacks]
            with self.watched("delayed", sources, stacks) as database:
                self.idle(f"idle, {count} sources 200 ms away; floor of one", sources, services, database, sources[:1])
                median = self.medians(self.options.runs, floor=self.floor(sources, services))
                self.plain(f"  the floor of all {count}, for comparison", milliseconds(median["floor"]), "-")
        finally:
            server.kill()
            server.wait()

    def many_tags(self, count):
        progress(f"{count} tags under `always`, all unchanged")
        registry, inside = self.lab["LAB_REGISTRY"], ["ip", "netns", "exec", self.lab["LAB_BRIDGE_NETNS"]]
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        url = f"http://{registry}/v2/app/manifests"
        manifest = self.folder / "manifest"
        self.run([*inside, "curl", "-sf", "-H", f"Accept: {kind}", "-o", str(manifest), f"{url}/1"])
        tags = [f"bench{number}" for number in range(count)]
        for tag in tags:
            self.run([*inside, "curl", "-sf", "-X", "PUT", "-H", f"Content-Type: {kind}",
                      "--data-binary", f"@{manifest}", f"{url}/{tag}"])
        services = "".join(f"  {tag}:\n    image: {registry}/app:{tag}\n    deploy: {{replicas: 0}}\n" for tag in tags)
        repository = self.make_repository("tags", ["tags"])
        (repository / "tags" / "docker-compose.yml").write_text(f'version: "3.8"\nservices:\n{services}')
        self.commit(repository, "Many tags")
        source, names = f"file://{repository}", [f"tags_{tag}" for tag in tags]
        outputs = [part for tag in tags for part in ("-o", "/dev/null", f"{url}/{tag}")]
        heads = [*inside, "curl", "-sf", "--head", "--parallel", "--parallel-immediate", "--parallel-max", str(count),
                 "-H", f"Accept: {kind}", *outputs]
        idle_floor = self.floor([source], names)

        def floor():
            for process in idle_floor():
                process.wait()
            return [self.start(heads)]

        ours, always = self.dockerops, {"DOCKEROPS_IMAGE_PULL_POLICY": "always"}
        with self.watched("tags", [source], ["tags"]) as database:
            self.run([*inside, ours, "reconcile"], DOCKEROPS_DB_PATH=database, **always)
            reconcile = [*inside, ours, "reconcile"]
            median = self.medians(
                self.options.runs,
                always=lambda: [self.start(reconcile, DOCKEROPS_DB_PATH=database, **always)],
                idle=lambda: [self.start(reconcile, DOCKEROPS_DB_PATH=database)],
                floor=floor,
                heads=lambda: [self.start(heads)],
            )
        self.row(f"idle, {count} tags under `always`; floor + curl", median["always"], median["floor"], "time at most 1.5 x floor")
        self.row("  what `always` adds; curl's HEADs alone", median["always"] - median["idle"], median["heads"], "-")

    def hook(self, runs):
        progress("from a webhook to `stack deploy`")
        repository, served = self.make_repository("hooked", ["hooked"]), self.folder / "hooks"
        bare = served / "hooked.git"
        served.mkdir()
        self.git(repository, "clone", "--quiet", "--bare", str(repository), str(bare))
        server = subprocess.Popen([sys.executable, str(HERE / "git_server.py"), "--root", str(served), "--port", "0"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        source = f"http://127.0.0.1:{int(server.stdout.readline())}/hooked.git"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        body = json.dumps({"ref": "refs/heads/main", "repository": {"clone_url": source, "default_branch": "main"}}).encode()
        headers = {"X-GitHub-Event": "push", "Content-Type": "application/json",
                   "X-Hub-Signature-256": f"sha256={hmac.new(b'bench', body, 'sha256').hexdigest()}"}

        def ask(path, **more):
            with urllib.request.urlopen(urllib.request.Request(f"http://{address}{path}", **more), timeout=30) as answer:
                return json.loads(answer.read() or "{}")

        def one_push(number):
            self.write_stack(repository, "hooked", number)
            self.commit(repository, f"Revision {number}")
            self.git(repository, "push", "--quiet", str(bare), "main")
            self.calls.unlink(missing_ok=True)
            begin = time.perf_counter()
            job = ask("/hooks/github", data=body, headers={**headers, "X-GitHub-Delivery": str(number)})["job"]
            while not (self.calls.exists() and "stack deploy" in self.calls.read_text()):
                time.sleep(0.002)
                if time.perf_counter() - begin > 60:
                    sys.exit("bench: the webhook led to no `stack deploy`")
            took = time.perf_counter() - begin
            while ask(f"/api/v1/jobs/{job}")["state"] not in ("done", "failed"):
                time.sleep(0.1)
            return took

        def fetch(number):
            clone = ["git", "clone", "--quiet", "--depth", "1", source, str(self.folder / f"clone{number}")]
            return self.timed(lambda: [self.start(["git", "ls-remote", source])]) + self.timed(lambda: [self.start(clone)])

        try:
            with self.watched("hooked", [source], ["hooked"]) as database:
                daemon = self.start([self.dockerops, "run"], PATH=f"{self.wrapper}:{os.environ['PATH']}",
                                    DOCKEROPS_DB_PATH=database, DOCKEROPS_LISTEN=address,
                                    DOCKEROPS_WEBHOOK_SECRET="bench", DOCKEROPS_SYNC_INTERVAL="86400")
                while daemon.poll() is None:
                    with contextlib.suppress(OSError):
                        ask("/api/v1/repositories")
                        break
                    time.sleep(0.1)
                numbers = range(2, 2 + runs)
                times = [(one_push(number), fetch(number)) for number in numbers]
                daemon.terminate()
                daemon.wait()
            ours, floor = (statistics.median(column) for column in zip(*times))
            self.row("webhook to `stack deploy` started; floor: git's ls-remote and clone", ours, floor, "at most 500 ms more")
        finally:
            server.kill()
            server.wait()

    def start_up(self):
        median = self.medians(
            max(self.options.runs, 21),
            dockerops=lambda: [self.start([self.dockerops, "version"])],
            docker=lambda: [self.start(["docker", "--version"])],
        )
        self.row("`version`; floor: `docker --version`", median["dockerops"], median["docker"], "time at most 1.5 x floor")

    # ---- what is printed ----

    def row(self, what, ours, floor, target):
        self.rows.append((what, milliseconds(ours), milliseconds(floor), f"{ours / floor:.2f}", target))

    def plain(self, what, value, target):
        self.rows.append((what, str(value), "", "", target))

    def print_table(self):
        rows = [("what", "dockerops", "floor", "ratio", "target"), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for number, row in enumerate(rows):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:4], widths[1:4])]
            print("  ".join([*cells, row[4]]).rstrip())
            if number == 0:
                print("  ".join("-" * width for width in widths))

    def print_conditions(self):
        version = self.run(["docker", "version", "--format", "client {{.Client.Version}}, engine {{.Server.Version}}"])
        print(f"\nmedians of {self.options.runs} runs each, in turn; docker {version.strip()}; {os.cpu_count()} CPUs")
        print("floor: `git ls-remote` of all sources at once, then `docker service ls`, then `docker service inspect`")
        print('"at once": the same, git and docker at the same time\n')


def milliseconds(seconds):
    return f"{seconds * 1000:.1f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", required=True, help="the folder of a lab that is up")
    parser.add_argument("--dockerops", required=True, help="the program to measure")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--stacks", type=lambda text: [int(part) for part in text.split(",")], default=[1, 20, 200])
    parser.add_argument("--sources", type=int, default=20)
    parser.add_argument("--new", type=int, default=20)
    parser.add_argument("--tags", type=int, default=50)
    parser.add_argument("--large", type=int, default=20_000, help="files of the large repository")
    parser.add_argument("--many", type=int, default=1_000, help="stacks of the largest source")
    parser.add_argument("--among", type=int, default=200, help="stacks among which one waits")
    parser.add_argument("--each", type=int, default=500, help="sources with a stack each")
    parser.add_argument("--only", type=lambda text: text.split(","), help="so many of the parts, by name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dockerops-bench.") as folder:
        bench = Bench(options, Path(folder))
        parts = {
            "start": bench.start_up,
            "idle": lambda: [bench.one_source(count) for count in options.stacks],
            "delayed": lambda: bench.delayed_sources(options.sources),
            "tags": lambda: bench.many_tags(options.tags),
            "new": lambda: bench.new_stacks(options.new, 3),
            "waiting": lambda: bench.waiting(30),
            "hook": lambda: bench.hook(options.runs),
            "rollback": lambda: Rollbacks(bench).measure(20),
            "changes": lambda: bench.changes().measure(options.large, 50 << 10),
            "among": lambda: Scale(bench).waiting_among(options.among, 30),
            "stacks": lambda: Scale(bench).many_stacks(options.many),
            "sources": lambda: Scale(bench).many_sources(options.each),
        }
        # A part of `changes`.
        alone = {"first": lambda: bench.changes().measure(options.large, 50 << 10, first_alone=True)}
        for name in options.only or parts:
            {**parts, **alone}[name]()
        bench.print_conditions()
        bench.print_table()


if __name__ == "__main__":
    main()
