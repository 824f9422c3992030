"""What tests/bench.sh measures of a rollback: from the command to the first task of the earlier version that runs.

Its floor is `docker service rollback`, which knows one version and one service.
"""

import json
import statistics
import subprocess
import sys
import time
import urllib.parse

from bench_change import Docker

STACK = "rollback"
SERVICE = f"{STACK}_app"
PATIENCE = 60


class Rollbacks:
    def __init__(self, bench):
        self.bench = bench
        self.docker = Docker(bench.lab["DOCKER_HOST"])
        self.revision = 1

    def tasks(self):
        """The tasks that run: id and environment."""
        wanted = urllib.parse.quote(json.dumps({"service": [SERVICE], "desired-state": ["running"]}))
        self.docker.request("GET", f"/tasks?filters={wanted}")
        running = [task for task in json.load(self.docker.getresponse()) if task["Status"]["State"] == "running"]
        return {task["ID"]: task["Spec"]["ContainerSpec"].get("Env", []) for task in running}

    def until(self, value, action):
        """Seconds from `action` to a new task that runs with `value`; what was begun is then waited for."""
        before = set(self.tasks())
        begin = time.perf_counter()
        process = action()
        while not any(value in env for task, env in self.tasks().items() if task not in before):
            if time.perf_counter() - begin > PATIENCE:
                sys.exit(f"bench: no task runs with {value}")
            time.sleep(0.005)
        took = time.perf_counter() - begin
        process.wait()
        return took

    def write(self, repository, message):
        self.bench.write_stack(repository, STACK, self.revision, replicas=1)
        self.bench.commit(repository, message)

    def measure(self, stacks, runs=5):
        """One of so many stacks goes back, of a source that is watched and at rest."""
        names = [STACK, *(f"quiet-{number}" for number in range(stacks - 1))]
        repository = self.bench.make_repository("rollbacks", names)
        self.write(repository, "One that has a task")
        database = str(self.bench.folder / "rollback-state" / "dockerops.db")
        ours = lambda *words: self.bench.start([self.bench.dockerops, *words], DOCKEROPS_DB_PATH=database)
        self.bench.run([self.bench.dockerops, "watch", f"file://{repository}"], DOCKEROPS_DB_PATH=database)
        took, floor = [], []
        for _ in range(runs):
            good = f"REVISION={self.revision}"
            self.revision += 1
            self.write(repository, "A bad version")
            self.bench.run([self.bench.dockerops, "reconcile"], DOCKEROPS_DB_PATH=database)
            floor.append(self.until(good, lambda: self.bench.start(
                ["docker", "service", "rollback", "--quiet", "--detach", SERVICE])))
            self.bench.run([self.bench.dockerops, "reconcile"], DOCKEROPS_DB_PATH=database)
            took.append(self.until(good, lambda: ours("rollback", STACK)))
            self.bench.run([self.bench.dockerops, "release", STACK], DOCKEROPS_DB_PATH=database)
            self.bench.run([self.bench.dockerops, "reconcile"], DOCKEROPS_DB_PATH=database)
        median = statistics.median
        what = f"rollback among {stacks}, until its first task runs; floor `docker service rollback`"
        self.bench.row(what, median(took), median(floor), "at most 0.5 s more")
        self.bench.remove_stacks(names)
