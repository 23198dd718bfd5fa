"""What real servers understand of a request is among what the gateway has checked: models, endpoints, objects.

Made-up requests of every dialect, with tricks that one parser takes differently than another, go through the gateway to servers on aiohttp, Starlette, Node
and Go, and to nginx in front of them that normalises. Each says what it understood; what it would use has to be the key's to use.
"""
import asyncio, collections, json, pathlib, shutil, string, subprocess, sys

import model_cases as cases
import pytest
from conftest import ROOT, Gateway, wait_until
from load import Lane, cases_of, drive, seeded, timeout_of
from model_oracle import Scope, disagreements

ORACLES = pathlib.Path(__file__).parent / "oracles"
SMALL, FULL = 6_000, 120_000
SCOPES = {
    "models": Scope(allowed=cases.ALLOWED), "denied": Scope(denied=cases.DENIED), "endpoints": Scope(classes={"models"}, path=r"(/v1|/v1beta|/v1alpha|/api/v1|/openai/v1)?/models/[^/]+"),
    "classes": Scope(classes={"chat", "completions", "responses", "messages", "embeddings", "images", "audio", "models", "tokens", "rerank"}), "first": Scope(), "second": Scope(),
}
OWNERS = ("models", "denied", "first", "second")


class Servers:
    """The servers, each a process, and the URL that a provider has of it. Two are behind nginx."""

    def __init__(self, path):
        self.running, self.ports, self.bases = [], {}, {}
        commands = {"aiohttp": [sys.executable, ORACLES / "server.py", "aiohttp"], "starlette": [sys.executable, ORACLES / "server.py", "starlette"]}
        if shutil.which("node"):
            commands["node"] = ["node", ORACLES / "server.js"]
        if shutil.which("go"):
            subprocess.run(["go", "build", "-o", path / "server", ORACLES / "server.go"], check=True, env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(path), "GOCACHE": str(ROOT / ".build/go-cache"), "GO111MODULE": "off"})
            commands["go"] = [path / "server"]
        for name, command in commands.items():
            child = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.running.append(child)
            self.ports[name] = int(child.stdout.readline())
        self.missing = [name for name in ("node", "go", "nginx") if not shutil.which(name)]
        if shutil.which("nginx"):
            self.start_nginx(path, [name for name in ("go", "starlette", "node") if name in self.ports])
        # Half of them live below a path of their own.
        self.bases = {name: "/tenant-a" if i % 2 else "" for i, name in enumerate(sorted(self.ports))}

    def start_nginx(self, path, behind):
        import socket
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in behind]
        ports = [s.getsockname()[1] for s in sockets]
        for s in sockets:
            s.close()
        servers = "".join(f"upstream up{i} {{ server 127.0.0.1:{self.ports[name]}; keepalive 32; }}\n"
                          f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up{i}/; proxy_http_version 1.1; proxy_set_header Connection ''; }} }}\n" for i, (name, port) in enumerate(zip(behind, ports)))
        temporary = "".join(f"{n}_temp_path {path}/{n};\n" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (path / "nginx.conf").write_text(f"daemon off; worker_processes 1; pid {path}/nginx.pid; error_log {path}/error.log crit;\nevents {{ worker_connections 1024; }}\n"
                                         f"http {{ access_log off; client_max_body_size 64m; keepalive_requests 1000000; {temporary}{servers} }}\n")
        self.running.append(subprocess.Popen(["nginx", "-p", str(path), "-c", str(path / "nginx.conf")], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_until(lambda: (path / "nginx.pid").exists() and (path / "nginx.pid").read_text().strip(), "nginx to start")
        self.ports |= {f"nginx-{name}": port for name, port in zip(behind, ports)}

    def stop(self):
        for child in self.running:
            child.terminate()
        for child in self.running:
            child.wait(10)


class Draws:
    """What a template or a trick draws for one request."""

    def __init__(self, world, random, kind, server, key):
        self.world, self.random, self.kind, self.server, self.key = world, random, kind, server, key
        self.is_honest = True

    def model(self):
        return self.random.choice(self.kind.good + (self.kind.long if self.key in ("first", "second", "classes") else []))

    def bad(self):
        return self.random.choice(self.kind.bad)

    def id(self, what):
        """An object of the key's own."""
        own = self.world.own.get((self.kind.name, self.server, self.key, what))
        if own:
            return self.random.choice(own)
        self.is_honest = False
        return self.foreign()

    def any_own(self):
        return next((ids[0] for (kind, server, key, _), ids in self.world.own.items() if (kind, server, key) == (self.kind.name, self.server, self.key)), "file-none")

    def foreign(self):
        known = self.world.foreign[self.kind.name, self.server, self.key]
        return self.random.choice(known) if known else "file-" + "x1" * 12


class Case:
    __slots__ = ("data", "kind", "server", "key", "tricks", "is_honest")


class World:
    """A gateway, a provider of each kind at each server, keys with scopes, and objects that some of them own."""

    def __init__(self, gw, servers, path):
        self.gw, self.servers = gw, servers
        self.own, self.foreign, self.kinds = {}, {}, {}
        admin = []
        for kind in cases.KINDS:
            for server, port in servers.ports.items():
                admin.append((f"{kind.name}-{server}", kind.name, f"http://127.0.0.1:{port}{servers.bases[server]}"))
        for name, kind, url in admin:
            gw.cli("provider", "add", name, "--kind", kind, "--base-url", url)
            gw.cli("provider-key", "add", name, input="made-up-key-of-nobody-0000000000\n")
        options = {"models": [o for m in cases.ALLOWED for o in ("--model", m)], "denied": [o for m in cases.DENIED for o in ("--deny-model", m)], "endpoints": ["--endpoint", "models", "--path", "GET /v1/models/*", "--path", "GET /v1beta/models/*"],
                   "classes": [o for c in sorted(SCOPES["classes"].classes) for o in ("--endpoint", c)], "first": [], "second": []}
        self.keys = {name: gw.key("--provider", "*", *more) for name, more in options.items()}
        asyncio.run(self.make_objects())

    async def make_objects(self):
        random = seeded("objects")
        lane = Lane(self.gw.port)
        made = collections.defaultdict(list)
        for kind in cases.KINDS:
            for server in self.servers.ports:
                strangers = []
                for what, path, is_form in kind.makers:
                    for owner in (*OWNERS, None):
                        letters = string.ascii_letters + (string.digits if random.random() > 0.2 else "")
                        id = kind.ids[what].format("".join(random.choice(letters) for _ in range(24)))
                        self.kinds[id] = what
                        if owner is None:
                            strangers.append(id)
                            continue
                        draws = Draws(self, random, kind, server, owner)
                        line = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": draws.bad(), "messages": []}})
                        fields = {"model": draws.model(), "input": "make:" + id, "metadata": {"x": "make:" + id}, "requests": [{"custom_id": "make:" + id, "params": {"model": draws.model(), "max_tokens": 5, "messages": []}}]}
                        members = {"file": [], "response": ["model", "input"], "store": ["metadata"], "conversation": ["metadata"], "cache": ["metadata"], "batch": ["requests"] if kind.name == "anthropic" else ["metadata"]}[what]
                        document = cases.O([(m, fields[m]) for m in members])
                        if what == "batch" and kind.name != "anthropic":
                            document += [("input_file_id", draws.id("file")), ("endpoint", "/v1/chat/completions"), ("completion_window", "24h")]
                        form = [["purpose", "batch", [], None], ["file", f"make:{id}\n{line}\n", [], "a.jsonl"]] if is_form else None
                        draft = cases.Draft(kind, "POST", path, document=None if is_form else document, form=form)
                        answer = await lane.ask(cases.written(draft, self.keys[owner], f"/{kind.name}-{server}", draws))
                        if answer and answer[0] == 200:
                            self.own.setdefault((kind.name, server, owner, what), []).append(id)
                            made[kind.name, server].append((owner, id))
                        else:
                            assert owner in ("models", "denied") and what == "batch", (kind.name, server, owner, what, answer)
                for key in self.keys:
                    self.foreign[kind.name, server, key] = strangers + [id for owner, id in made[kind.name, server] if owner != key]
        lane.close()
        self.foreign_kinds = {k: {part: self.kinds[id] for id in ids for part in (id, id.rsplit("/", 1)[-1])} for k, ids in self.foreign.items()}

    def cases(self, count):
        random = seeded("models")
        for _ in range(count):
            kind, server, key = random.choice(cases.KINDS), random.choice(sorted(self.servers.ports)), random.choice(list(self.keys))
            draws = Draws(self, random, kind, server, key)
            draft = random.choice(kind.templates)(draws)
            draft.chunked = random.random() < 0.15
            cases.decorated(draws, draft)
            if random.random() > 0.12:
                for _ in range(random.choice([1, 1, 1, 2, 2, 3])):
                    trick = random.choice(cases.TRICKS)
                    if trick(draws, draft) is not False:
                        draft.tricks.append(trick.__name__)
            case = Case()
            case.data = cases.written(draft, self.keys[key], f"/{kind.name}-{server}", draws)
            case.kind, case.server, case.key, case.tricks = kind.name, server, key, tuple(draft.tricks)
            case.is_honest = not draft.tricks and draws.is_honest and self.may(key, draft)
            yield case

    @staticmethod
    def may(key, draft):
        """Whether a request without tricks is within what the key may do."""
        path = draft.path
        is_files = any(part in path for part in ("/files", "/vector_stores", "/cachedContents"))
        is_batch = "/batches" in path
        if key == "endpoints":
            return draft.method == "GET" and "/models/" in path
        if key == "classes":
            return not is_files and not is_batch and "/fine_tuning" not in path
        return not (key in ("models", "denied") and is_batch and draft.method == "POST")


class Tally:
    def __init__(self, world):
        self.world, self.counts, self.by_server, self.by_code = world, collections.Counter(), collections.Counter(), collections.Counter()
        self.found, self.dropped = {}, []

    def judge(self, case, answer):
        self.counts["cases"] += 1
        self.counts["honest"] += case.is_honest
        if answer is None:
            self.counts["ended without an answer"] += 1
            return
        status, _, body, _ = answer
        saw = None
        if status == 200:
            try:
                saw = json.loads(body)["saw"]
            except (ValueError, KeyError, TypeError):
                pass
        if saw is None:
            self.counts["refused"] += 1
            try:
                error = json.loads(body)
                code = error["error"].get("code", error["error"].get("type")) if isinstance(error.get("error"), dict) else str(error)[:60]
            except (ValueError, AttributeError):
                code = body[:40]
            self.by_code[status, str(code)] += 1
            if case.is_honest:
                self.dropped.append((case.kind, case.server, case.key, case.data[:2000], body[:300]))
            return
        self.counts["reached"] += 1
        self.by_server[case.server] += 1
        for what in disagreements(case.kind, self.world.servers.bases[case.server], SCOPES[case.key], self.world.foreign_kinds[case.kind, case.server, case.key], saw):
            self.counts["disagreements"] += 1
            entry = self.found.setdefault((what, case.tricks[-1:]), [0, case, saw, set()])
            entry[0] += 1
            entry[3].add(case.kind)
            # The one with the fewest tricks and bytes says most.
            if (len(case.tricks), len(case.data)) < (len(entry[1].tricks), len(entry[1].data)):
                entry[1:3] = case, saw

    def report(self):
        lines = [f"models and objects: {dict(self.counts)}", f"reached, by server: {dict(self.by_server)}", f"refused, by code: {dict(self.by_code.most_common())}"]
        for (what, _), (count, case, saw, kinds) in sorted(self.found.items(), key=lambda e: -e[1][0]):
            lines.append(f"{count} x {what} ({', '.join(sorted(kinds))}): key '{case.key}', server {case.server}, tricks {case.tricks}\n    sent {case.data!r}\n    saw  {json.dumps({k: v for k, v in saw.items() if k != 'headers'}, ensure_ascii=True)[:600]}")
        return "\n".join(lines)


@pytest.fixture
def servers(tmp_path):
    path = tmp_path / "servers"
    path.mkdir()
    made = Servers(path)
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.timeout(timeout_of())
def test_what_servers_use_is_what_was_checked(running, servers, tmp_path, capsys):
    world = World(running(Gateway), servers, tmp_path)
    tally = Tally(world)
    asyncio.run(drive(world.gw.port, world.cases(cases_of(SMALL, FULL)), tally.judge))
    with capsys.disabled():
        print("\n" + "\n".join(tally.report().split("\n")[:2]))
        for name in servers.missing:
            print(f"SKIPPED: servers on {name}: there is no {name} here")
    assert world.gw.child.poll() is None, "the gateway has ended"
    assert not tally.dropped, "\n".join([f"{len(tally.dropped)} honest requests were refused:", *map(str, tally.dropped[:8])])
    assert not tally.found, tally.report()
    # A gateway that refuses everybody agrees with everything: honest requests pass, and enough of the others do to be looked at.
    assert tally.counts["honest"] > tally.counts["cases"] / 20 and tally.counts["reached"] > tally.counts["cases"] / 10
