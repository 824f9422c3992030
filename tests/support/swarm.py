"""What docker prints of a Swarm whose services are in a folder: a file for each stack, the compose text that it was given.

Every stack has one service, which runs and has run in another version before.
"""

import hashlib
import json
import pathlib
import re
import sys

STACKS = pathlib.Path(sys.argv[1])
WORDS = sys.argv[2:]
NAMESPACE = "com.docker.stack.namespace"
IMAGE = "app:1"
ROUTES = {
    f"traefik.http.{part}": "Host(`www.example.org`) && PathPrefix(`/a/long/way/to/what/is/there`)"
    for part in ["routers.web.rule", "routers.api.rule", "middlewares.strip.stripprefix.prefixes", "services.web.url"]
}
SECOND = 1_000_000_000


def identity(word, name):
    return hashlib.sha256(f"{word} {name}".encode()).hexdigest()[:25]


def task_template(stack):
    return {
        "ContainerSpec": {
            "Image": IMAGE, "Labels": {NAMESPACE: stack, **ROUTES}, "Args": ["serve", "--verbose", "--port", "8080"],
            "Privileges": {"CredentialSpec": None, "SELinuxContext": None}, "StopGracePeriod": 10 * SECOND,
            "DNSConfig": {}, "Isolation": "default",
        },
        "Resources": {"Limits": {"MemoryBytes": 64 << 20}, "Reservations": {"MemoryBytes": 16 << 20}},
        "RestartPolicy": {"Condition": "any", "Delay": 5 * SECOND, "MaxAttempts": 0},
        "Placement": {"Platforms": [{"Architecture": "amd64", "OS": "linux"}]},
        "Networks": [{"Target": identity("network", stack), "Aliases": ["app"]}],
        "ForceUpdate": 0, "Runtime": "container",
    }


def spec(stack, labels):
    update = {"Parallelism": 1, "FailureAction": "pause", "Monitor": 5 * SECOND, "MaxFailureRatio": 0, "Order": "stop-first"}
    return {
        "Name": f"{stack}_app", "Labels": {"com.docker.stack.image": IMAGE, NAMESPACE: stack, **labels},
        "TaskTemplate": task_template(stack), "Mode": {"Replicated": {"Replicas": 1}},
        "UpdateConfig": update, "RollbackConfig": update, "EndpointSpec": {"Mode": "vip"},
    }


def service(stack):
    labels = dict(re.findall(r'"?(dockerops\.[a-z]+)"?: "?([^"\n]+)"?', (STACKS / stack).read_text()))
    when = "2026-01-01T00:00:00.000000000Z"
    return {
        "ID": identity("service", stack), "Version": {"Index": 1234}, "CreatedAt": when, "UpdatedAt": when,
        "Spec": spec(stack, labels), "PreviousSpec": spec(stack, labels),
        "Endpoint": {"Spec": {"Mode": "vip"}, "VirtualIPs": [{"NetworkID": identity("network", stack), "Addr": "10.0.1.2/24"}]},
        "UpdateStatus": {"State": "completed", "StartedAt": when, "CompletedAt": when, "Message": "update completed"},
    }


def task(stack):
    when = "2026-01-01T00:00:00.000000000Z"
    return {
        "ID": identity("task", stack), "ServiceID": identity("service", stack), "Slot": 1, "NodeID": "node1",
        "CreatedAt": when, "DesiredState": "running", "Spec": task_template(stack),
        "Status": {"Timestamp": when, "State": "running", "ContainerStatus": {"ContainerID": identity("container", stack)}},
    }


def named(word, wanted):
    """The stacks of these ids, cut short perhaps, or names, in this order."""
    known = {}
    for stack in sorted(file.name for file in STACKS.iterdir()):
        known[identity(word, stack)[:12]] = known[f"{stack}_app"] = stack
    found = (known.get(name, known.get(name[:12])) for name in wanted)
    return [stack for stack in found if stack]


def main():
    rest = WORDS[2:]
    if WORDS[:2] == ["service", "ls"]:
        for file in sorted(STACKS.iterdir()):
            told = {"ID": identity("service", file.name)[:12], "Name": f"{file.name}_app", "Mode": "replicated"}
            print(json.dumps({**told, "Replicas": "1/1", "Image": IMAGE, "Ports": ""}))
    elif WORDS[:2] == ["service", "inspect"]:
        print(json.dumps([service(stack) for stack in named("service", rest)], indent=4))
    elif WORDS[:2] == ["service", "ps"]:
        layout = rest[rest.index("--format") + 1]
        for stack in named("service", rest):
            one, state = identity("task", stack), "Running 5 minutes ago"
            if layout == "{{json .}}":
                told = {"ID": one, "Name": identity("service", stack) + ".1", "Node": "node1", "Image": IMAGE}
                print(json.dumps({**told, "DesiredState": "Running", "CurrentState": state, "Error": "", "Ports": ""}))
            else:
                print(one, "node1", "Running", state, '""', sep="\t")
    elif WORDS[:3] == ["inspect", "--type", "task"]:
        print(json.dumps([task(stack) for stack in named("task", WORDS[3:])], indent=4))
    elif WORDS[:2] == ["node", "ls"]:
        print(json.dumps({"ID": "node1", "Hostname": "node1", "Status": "Ready", "Availability": "Active"}))
    else:
        sys.exit(f"not told of {WORDS}")


main()
