#!/usr/bin/env python3
"""Compares the gateway with nginx in one interleaved run, and times the library and the start.

Every figure is the median of many short rounds, taken in changing order, so that what else the machine does falls on all alike; a
ratio is of two figures of the same round. nginx is a plain proxy_pass with keep-alive; the gateway authenticates, decides,
meters usage and keeps activity. Both get one core; the load and the upstream share the other. With --against, a gateway
of an earlier build stands in the same run, to show what a change costs.
"""
import argparse, json, os, pathlib, random, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BINARY = ROOT / ".build/release/maskllm"
FEW = 5  # rounds of what takes long or hardly varies: the start, the library, a decision alone
ANSWER = json.dumps({"id": "chatcmpl-bench", "object": "chat.completion", "created": 1766410466, "model": "bench-small", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "All work and no play makes the benchmark a dull read. " * 5}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 210, "completion_tokens": 64, "total_tokens": 274}})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing listens on {port}")


def cpu_seconds(pid):
    """User and system seconds of a process and its children now alive (nginx's worker)."""
    total = 0
    for p in [pid] + [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]:
        fields = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def rss_mb(pid):
    total = 0
    for p in [pid] + [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]:
        total += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{p}/status").read_text())[1])
    return total / 1024


class Bench:
    def __init__(self, work, args):
        self.work, self.args, self.children = work, args, []

    def start(self, *command, cpu, env=None, **kw):
        child = subprocess.Popen(["taskset", "-c", str(cpu), *map(str, command)], env={**os.environ, **(env or {})}, **kw)
        self.children.append(child)
        return child

    def nginx(self, name, cpu, config):
        path = self.work / f"{name}.conf"
        path.write_text(f"""daemon off; worker_processes 1; pid {self.work}/{name}.pid; error_log {self.work}/{name}.err;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {self.work}/{name}-b; proxy_temp_path {self.work}/{name}-p; fastcgi_temp_path {self.work}/{name}-f;
uwsgi_temp_path {self.work}/{name}-u; scgi_temp_path {self.work}/{name}-s; keepalive_requests 100000000; client_body_buffer_size 64k;
{config} }}""")
        return self.start("nginx", "-c", path, "-e", f"{self.work}/{name}.err", cpu=cpu)

    def wrk(self, url, key, seconds, connections=64):
        out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", HERE / "post.lua", url],
                             env={**os.environ, "BENCH_KEY": key}, capture_output=True, text=True).stdout
        found = dict(re.findall(r"(\w+)=(\d+)", out.split("RESULT", 1)[1]))
        return {k: int(v) for k, v in found.items()}

    FULL = ["--provider", "bench", "--provider", "openai", "--model", "bench-*", "--model", "gpt-*", "--model", "o?", "--deny-model", "*-preview", "--endpoint", "chat", "--endpoint", "models",
            "--path", "POST /v1/chat/completions", "--path", "GET /v1/models/*", "--network", "127.0.0.0/8", "--network", "10.0.0.0/8", "--hours", "mon-sun 00:00-24:00 Europe/Berlin",
            "--not-before", "2020-01-01", "--body-bytes-max", "1000000", "--output-tokens-max", "4096",
            "--limit", "requests_per_minute=1000000000", "--limit", "tokens_per_minute=1000000000000", "--limit", "tokens_per_day=1000000000000"]

    def full_policy(self, data, run):
        """Ten scopes, three limits and two budgets for one of 100,000 keys. Run while no server runs."""
        run("price", "set", "bench", "bench-*", "--input", "1", "--output", "2")
        run("team", "set", "full", *self.FULL)
        run("budget", "set", "team", "--usd", "900000000", "--team", "full")
        key = run("key", "create", "--name", "bench", "--team", "full", *self.FULL).strip()
        run("budget", "set", "key", "--usd", "900000000", "--key", key.split("_")[1])
        return key

    def watch(self, data, run, upstream):
        """All that looks on: spans and metrics to a collector, checkpoints to syslog, an alert channel; afterwards somebody at the live view."""
        port = free_port()
        (data / "maskllm.yaml").write_text(f"admin: {{listen: 127.0.0.1:{port}}}\ntelemetry: {{otlp_endpoint: 'http://127.0.0.1:{upstream}'}}\naudit: {{checkpoint_syslog: true}}\n")
        run("alert-channel", "set", "here", "--kind", "slack", "--place", f"http://127.0.0.1:{upstream}", "--severity", "info", input="/made-up")
        return port, run("token", "create", "--name", "bench", "--role", "owner").strip()

    def gateway(self, cpu, upstream, env=None, full=False, watched=False, binary=BINARY):
        data = self.work / f"data-{len(self.children)}"
        run = lambda *a, **k: subprocess.run([binary, *a, "--data", data], check=True, capture_output=True, text=True, **k).stdout
        run("init")
        run("provider", "add", "bench", "--base-url", f"http://127.0.0.1:{upstream}")
        run("provider-key", "add", "bench", input="sk-bench-not-a-real-key-000000000000")
        key = self.full_policy(data, run) if full else run("key", "create", "--name", "bench", "--provider", "bench").strip()
        live = self.watch(data, run, upstream) if watched else None
        port = free_port()
        child = self.start(binary, "serve", "--data", data, "--loops", 1, "--listen", f"127.0.0.1:{port}", cpu=cpu, env=env, stdout=subprocess.DEVNULL)
        wait_for(port)
        if live:
            self.start("curl", "-sN", "-o", "/dev/null", "-H", f"Authorization: Bearer {live[1]}", f"http://127.0.0.1:{live[0]}/ui/stream", cpu=1)
        if full:
            for n in range(100):
                run("key", "create", "--name", f"many-{n}", "--team", "full", "--count", "1000", *self.FULL)
        return child, f"http://127.0.0.1:{port}/bench/v1/chat/completions", key

    def compare(self):
        upstream = free_port()
        self.nginx("upstream", 1, f"""server {{ listen 127.0.0.1:{upstream} backlog=4096; location / {{ default_type application/json;
            return 200 '{ANSWER}'; }} }}""")
        wait_for(upstream)
        port = free_port()
        proxy = self.nginx("proxy", 0, f"""map $http_authorization $real {{ default "Bearer sk-bench-not-a-real-key-000000000000"; }}
            upstream up {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}
            server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Authorization $real; }} }}""")
        wait_for(port)
        gateway, url, key = self.gateway(0, upstream)
        idle = rss_mb(gateway.pid)
        watched, watched_url, watched_key = self.gateway(0, upstream, watched=True)
        full, full_url, full_key = self.gateway(0, upstream, full=True)
        targets = {"nginx": (proxy, f"http://127.0.0.1:{port}/v1/chat/completions", key), "maskllm": (gateway, url, key), "watched": (watched, watched_url, watched_key), "with policy": (full, full_url, full_key)}
        if self.args.against:
            targets["before"] = self.gateway(0, upstream, binary=self.args.against)
        rounds = {name: [] for name in targets}
        chance = random.Random(1)
        for n in range(self.args.rounds + 1):  # the first is a warm-up
            for name, (child, target, key) in chance.sample(list(targets.items()), len(targets)):
                before = cpu_seconds(child.pid)
                r = self.wrk(target, key, self.args.seconds)
                r["cpu_us"] = (cpu_seconds(child.pid) - before) * 1e6 / r["requests"]
                r["rps"] = r["requests"] * 1e6 / r["us"]
                if r["errors"]:
                    sys.exit(f"{name}: {r['errors']} errors")
                if n:
                    rounds[name].append(r)
        print(f"{'':12}{'CPU us/req':>12}{'req/s':>10}{'req/s/core':>12}{'p50 us':>9}{'p99 us':>9}{'RSS MB':>9}")
        med = {}
        for name, rs in rounds.items():
            m = {k: statistics.median(r[k] for r in rs) for k in rs[0]}
            med[name] = m
            print(f"{name:12}{m['cpu_us']:12.2f}{m['rps']:10.0f}{1e6 / m['cpu_us']:12.0f}{m['p50']:9.0f}{m['p99']:9.0f}{rss_mb(targets[name][0].pid):9.1f}")
        pairs = [("maskllm", "nginx"), ("with policy", "nginx"), ("watched", "maskllm")]
        if self.args.against:
            pairs += [("maskllm", "before"), ("watched", "before")]
        for name, other in pairs:
            ratios = [a["cpu_us"] / b["cpu_us"] for a, b in zip(rounds[name], rounds[other])]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"CPU per request, {name} / {other}: {middle:.2f} (half of {len(ratios)} rounds within {low:.2f} to {high:.2f})")
        print("with policy: ten scopes, three limits, two budgets, 100,000 keys; the body is read, bounded and settled")
        print("watched: spans and metrics to a collector, checkpoints, an alert channel, somebody at the live view")
        print(f"idle RSS of the gateway before the load: {idle:.1f} MB")
        self.allocations(upstream)
        self.allocations(upstream, full=True)

    def allocations(self, upstream, full=False):
        library = self.work / "malloc_count.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, HERE / "malloc_count.c"], check=True)
        report = self.work / "mallocs"
        gateway, url, key = self.gateway(0, upstream, env={"LD_PRELOAD": str(library), "MALLOC_COUNT": str(report)}, full=full)

        def count():
            report.unlink(missing_ok=True)
            gateway.send_signal(signal.SIGUSR1)
            for _ in range(200):
                if report.exists() and report.read_text():
                    return int(report.read_text())
                time.sleep(0.01)
            sys.exit("no allocation count")

        self.wrk(url, key, 1)
        before = count()
        r = self.wrk(url, key, 2)
        print(f"allocations per request{', with policy' if full else ''}: {(count() - before) / r['requests']:.3f} (connections, activity hand-over and its keeping included)")

    def library(self):
        """The example package's timing loop: one thread, the key's text in memory, the store beside a quiet server."""
        example = ROOT / ".build/example/release/resolve"
        if not example.exists():
            print("library: not built (make bench builds it)")
            return
        data = self.work / "library"
        run = lambda *a, **k: subprocess.run([BINARY, *a, "--data", data], check=True, capture_output=True, text=True, **k).stdout
        run("init")
        run("provider-key", "add", "openai", input="sk-bench-not-a-real-key-000000000000")
        key = run("key", "create", "--name", "bench", "--provider", "openai").strip()
        env = {**os.environ, "MASKLLM_KEY": key}
        loop = lambda rounds, **extra: subprocess.run([example, data, "openai", str(rounds)], env={**env, **extra}, check=True, capture_output=True, text=True).stdout
        times = [float(re.search(r"([\d.e-]+) seconds each", loop(2_000_000))[1]) * 1e9 for _ in range(FEW)]
        print(f"library: resolve in {statistics.median(times):.0f} ns (rounds: {', '.join(f'{t:.0f}' for t in times)})")

        def mallocs(rounds):
            report = self.work / "library-mallocs"
            report.unlink(missing_ok=True)
            loop(rounds, LD_PRELOAD=str(self.work / "malloc_count.so"), MALLOC_COUNT=str(report), MALLOC_COUNT_AT_EXIT="1")
            return int(report.read_text())

        few, many = mallocs(1), mallocs(1_000_001)
        print(f"library: {(many - few) / 1e6:.6f} allocations a call")

    def decisions(self):
        """What a decision costs alone, and the reading of bodies; CPU of one thread."""
        program = ROOT / ".build/bench/release/bench-decide"
        if not program.exists():
            print("decisions: not built (make bench builds it)")
            return
        runs = [dict(re.findall(r"(.+): (\d+) ns", subprocess.run(["taskset", "-c", "0", program], check=True, capture_output=True, text=True).stdout)) for _ in range(FEW)]
        for name in runs[0]:
            times = [int(r[name]) for r in runs]
            print(f"{name}: {statistics.median(times):.0f} ns (rounds: {', '.join(map(str, times))})")

        def mallocs(rounds):
            report = self.work / "decide-mallocs"
            report.unlink(missing_ok=True)
            subprocess.run([program, str(rounds)], check=True, capture_output=True, env={**os.environ, "LD_PRELOAD": str(self.work / "malloc_count.so"), "MALLOC_COUNT": str(report), "MALLOC_COUNT_AT_EXIT": "1"})
            return int(report.read_text())

        few, many = mallocs(10_000), mallocs(1_010_000)
        print(f"decide: {(many - few) / 1e6:.6f} allocations a decision")

    def cold_start(self):
        """From exec to the first answered request, with 100,000 masked keys in the store."""
        data = self.work / "large"
        run = lambda *a, **k: subprocess.run([BINARY, *a, "--data", data], check=True, capture_output=True, text=True, **k).stdout
        run("init")
        port = free_port()
        serve = [BINARY, "serve", "--data", data, "--listen", f"127.0.0.1:{port}"]
        server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.children.append(server)
        wait_for(port)
        for n in range(100):
            run("key", "create", "--name", f"many-{n}", "--provider", "openai", "--count", "1000")
        server.terminate()
        server.wait()
        times, memory = [], 0
        for _ in range(FEW):
            start = time.perf_counter()
            server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.children.append(server)
            while True:
                try:
                    with socket.create_connection(("127.0.0.1", port)) as s:
                        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                        if s.recv(100).startswith(b"HTTP/1.1 200"):
                            break
                except OSError:
                    time.sleep(0.001)
            times.append(time.perf_counter() - start)
            memory = rss_mb(server.pid)
            server.terminate()
            server.wait()
        print(f"start with 100,000 keys: {statistics.median(times) * 1000:.0f} ms to the first answer (rounds: {', '.join(f'{t * 1000:.0f}' for t in times)}), RSS {memory:.0f} MB")

    def stop(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="at least 2")
    parser.add_argument("--seconds", type=int, default=1, help="of load in each round")
    parser.add_argument("--against", type=pathlib.Path, metavar="PROGRAM", help="an earlier build of maskllm, compared in the same run")
    args = parser.parse_args()
    if args.rounds < 2 or args.seconds < 1:
        parser.error("at least 2 rounds of at least 1 second")
    for tool in ("nginx", "wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: make bench installs it")
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(pathlib.Path(work), args)
        try:
            bench.compare()
            bench.decisions()
            bench.library()
            bench.cold_start()
        finally:
            bench.stop()


if __name__ == "__main__":
    main()
