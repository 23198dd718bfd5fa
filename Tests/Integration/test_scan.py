"""Keys are found where they should not be: in files, in git's history, before a commit, in a pipe; and reported."""
import base64, json, os, pathlib, re, subprocess, threading, time, tomllib
from http.server import BaseHTTPRequestHandler

import pytest
from conftest import ROOT, BINARY, Gateway, Upstream, cli, ok, post, raw, serve_tls, split, wait_until

CORPORA = pathlib.Path(os.environ.get("MASKLLM_CORPORA", ROOT.parent / "shared/corpora"))
FOUND = 3
OPENROUTER = "sk-or-v1-" + "0a" * 32


@pytest.fixture
def gw(running):
    return running(Gateway, running(Upstream, ok()).url)


def scan(*args, **kw):
    return cli(None, "scan", *args, check=False, **kw)


def git(path, *args):
    subprocess.run(["git", "-C", str(path), "-c", "user.name=t", "-c", "user.email=t@example.com", *args], check=True, capture_output=True)


class TestFiles:
    def test_a_folder_is_searched_to_its_last_file_and_says_where(self, gw, tmp_path):
        key = gw.key()
        deep = tmp_path / "src/a/b"
        deep.mkdir(parents=True)
        (deep / "app.py").write_text(f"import x\n\nKEY = '{key}'\n")
        (tmp_path / "src/notes.txt").write_text(f"nothing here\n{OPENROUTER}\n")
        done = scan(tmp_path / "src")
        assert done.returncode == FOUND
        assert f"{deep}/app.py:3:8: a masked key: {key[:16]}..." in done.stdout and "notes.txt:2:1: what looks like a key of openrouter" in done.stdout
        assert key not in done.stdout and OPENROUTER not in done.stdout

    def test_nothing_found_is_success_and_says_how_much_was_read(self, tmp_path):
        (tmp_path / "a").write_text("mk_notakey_atall\n")
        done = scan(tmp_path)
        assert done.returncode == 0 and "no keys found in 17 bytes" in done.stdout

    def test_a_large_file_is_searched_across_the_seams_of_its_pieces(self, gw, tmp_path):
        key = gw.key()
        size = 8 << 20
        for name, filler in (("lines", b"x" * 99 + b"\n"), ("one-line", b"x")):
            # A key that straddles the end of the first piece, and one behind it.
            head = (filler * (size // len(filler) + 1))[: size - 30]
            (tmp_path / name).write_bytes(head + b"\n" * (name == "lines") + b" " + key.encode() + b" " + filler * 2000 + b" " + key.encode())
            done = scan(tmp_path / name, "--format", "json")
            assert done.returncode == FOUND and len(json.loads(done.stdout)) == 2, name

    def test_what_cannot_be_read_is_not_success(self, tmp_path):
        if os.geteuid() == 0:
            (tmp_path / "loop").symlink_to(tmp_path / "loop")
            assert scan(tmp_path / "loop").returncode == 0  # links are not followed
            return
        (tmp_path / "secret").write_text("x")
        (tmp_path / "secret").chmod(0)
        done = scan(tmp_path)
        assert done.returncode == 1 and "could not be read" in done.stderr

    def test_sarif_is_what_code_hosts_read(self, gw, tmp_path):
        key = gw.key()
        (tmp_path / "a b.env").write_text(f"K={key}\n")
        done = subprocess.run([BINARY, "scan", ".", "--format", "sarif"], cwd=tmp_path, capture_output=True, text=True)
        report = json.loads(done.stdout)
        run = report["runs"][0]
        assert done.returncode == FOUND and report["version"] == "2.1.0" and {r["id"] for r in run["tool"]["driver"]["rules"]} == {"masked-key", "provider-key"}
        result = run["results"][0]
        place = result["locations"][0]["physicalLocation"]
        assert result["ruleId"] == "masked-key" and place["artifactLocation"]["uri"] == "a%20b.env" and place["region"] == {"startLine": 1, "startColumn": 3}
        assert key not in done.stdout

    @pytest.mark.parametrize("arguments, says", [
        ([], "what to search"), (["--git", "--stdin"], "do not go together"), (["--stdin", "x"], "do not go together"), (["/nowhere/at/all"], "nothing at"),
        (["x", "--format", "xml"], "no such format"), (["--git", "/"], "git could not read"),
    ])
    def test_bad_wishes_are_refused(self, arguments, says):
        done = scan(*arguments, input="")
        assert done.returncode in (1, 2) and says in done.stderr


class TestGit:
    def test_what_was_taken_out_again_is_found_in_the_history_with_its_commit(self, gw, tmp_path):
        key = gw.key()
        git(tmp_path, "init", "-q", "-b", "main")
        (tmp_path / "app.py").write_text(f"a\nb\nKEY='{key}'\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "in")
        commit = subprocess.run(["git", "-C", tmp_path, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        (tmp_path / "app.py").write_text("a\nb\n")
        git(tmp_path, "commit", "-qam", "out")
        assert scan(tmp_path).returncode == 0
        done = scan("--git", tmp_path, "--format", "json")
        assert done.returncode == FOUND
        assert [(f["file"], f["line"], f["commit"]) for f in json.loads(done.stdout)] == [("app.py", 3, commit)]

    def test_the_hook_refuses_a_commit_with_a_key_and_lets_others_pass(self, gw, tmp_path):
        git(tmp_path, "init", "-q")
        cli(None, "scan", "--install-hook", tmp_path)
        again = scan("--install-hook", tmp_path)
        assert again.returncode == 1 and "maskllm scan --staged" in again.stderr
        env = {**os.environ, "PATH": f"{BINARY.parent}:{os.environ['PATH']}"}
        commit = ["git", "-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "x"]
        (tmp_path / "a").write_text(gw.key())
        git(tmp_path, "add", ".")
        refused = subprocess.run(commit, env=env, capture_output=True, text=True)
        assert refused.returncode != 0 and "a masked key" in refused.stdout + refused.stderr
        (tmp_path / "a").write_text("clean")
        git(tmp_path, "add", ".")
        assert subprocess.run(commit, env=env, capture_output=True).returncode == 0


class TestCorpus:
    """The patterns of the catalogue against those that others have written."""
    rules = {
        "anthropic-admin-api-key": "anthropic", "anthropic-api-key": "anthropic", "aws-access-token": "bedrock", "cohere-api-token": "cohere",
        "aws-amazon-bedrock-api-key-long-lived": "bedrock", "databricks-api-token": "databricks", "gcp-api-key": "gemini", "perplexity-api-key": "perplexity",
        "huggingface-access-token": "huggingface", "huggingface-organization-api-token": "huggingface", "openai-api-key": "openai",
        "cloudflare-api-key": "cloudflare",
    }

    @pytest.fixture(scope="class")
    def config(self):
        path = CORPORA / "gitleaks/config/gitleaks.toml"
        if not path.exists():
            pytest.skip(f"the corpus is not at {path}")
        return {rule["id"]: rule for rule in tomllib.loads(path.read_text())["rules"]}

    def samples(self, pattern, count):
        """Strings that the rule matches, made from its own expression."""
        import exrex, random
        random.seed(7)
        # Its syntax in Python's: case-insensitive groups and hexadecimal escapes are read alike; what generates knows no flags or anchors.
        plain = pattern.replace(r"[\w", "[A-Za-z0-9_").replace(r"\w", "[A-Za-z0-9_]").replace(r"\s", " ").replace("(?i:", "(?:").replace("(?i)", "").replace(r"\b", "").replace("|$", "").replace(r"\x60", "`")
        return [exrex.getone(plain, limit=5) for _ in range(count)]

    def test_every_key_that_their_rules_find_is_found_and_named(self, config, tmp_path):
        for rule, provider in self.rules.items():
            texts = [t for t in self.samples(config[rule]["regex"], 300) if re.search(config[rule]["regex"], t)][:40]
            assert len(texts) >= 20, rule
            (tmp_path / rule).write_text("\n\n".join(t.replace("\n", " ") for t in texts) + "\n")
            found = json.loads(scan(tmp_path / rule, "--format", "json").stdout)
            lines = {f["line"] for f in found if f["rule"] == "provider-key" and provider in f["providers"]}
            missing = [t for i, t in enumerate(texts) if 2 * i + 1 not in lines]
            assert not missing, f"{rule}: {missing[:3]}"

    def test_keys_of_others_are_not_taken_for_an_llm_providers(self, config, tmp_path):
        skipped, wrong = [], {}
        for rule, entry in config.items():
            if rule in self.rules or "regex" not in entry or rule in ("generic-api-key", "aws-amazon-bedrock-api-key-short-lived", "private-key"):
                continue
            try:
                texts = self.samples(entry["regex"], 5)
            except Exception:
                skipped.append(rule)
                continue
            (tmp_path / "other").write_bytes("\n\n".join(texts).encode(errors="replace"))
            found = [f for f in json.loads(scan(tmp_path / "other", "--format", "json").stdout)]
            if found:
                wrong[rule] = found[0]["providers"]
        print(f"{len(config) - len(skipped)} rules tried, {len(skipped)} could not be turned into samples: {skipped}")
        assert len(skipped) < 25
        assert not {r: w for r, w in wrong.items() if r not in ("azure-ad-client-secret",)}, wrong


class GitHub(BaseHTTPRequestHandler):
    """GitHub's list of public keys, as it is in the corpus, and a signer of ours."""
    document = {}

    def do_GET(self):
        body = json.dumps(self.document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def github(certificates, tmp_path):
    """A signer with a made-up key, whose public half is served as GitHub serves its own, beside the one of the example."""
    key = tmp_path / "signer.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    public = subprocess.run(["openssl", "ec", "-in", key, "-pubout"], capture_output=True, text=True, check=True).stdout
    keys = [{"key_identifier": "made-up", "key": public, "is_current": True}]
    example = CORPORA / "secret-scanning/github_example.json"
    if example.exists():
        known = json.loads(example.read_text())
        keys.append({"key_identifier": known["key_id"], "key": f"-----BEGIN PUBLIC KEY-----\n{known['public_key_spki_b64']}\n-----END PUBLIC KEY-----\n"})
    GitHub.document = {"public_keys": keys}
    server, url = serve_tls(GitHub, certificates)
    config = f"leaks:\n  github_keys_url: {url}/meta/public_keys/secret_scanning\n  github_keys_ca_file: {certificates / 'ca.pem'}\n"

    def sign(body):
        return base64.b64encode(subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=body, capture_output=True, check=True).stdout).decode()

    yield config, sign
    server.shutdown()


def report(gw, body, key_id=None, signature=None):
    headers = [f"Github-Public-Key-Identifier: {key_id}", f"Github-Public-Key-Signature: {signature}"] if signature else []
    head = "\r\n".join(["POST /leaks HTTP/1.1", "Host: t", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", *headers])
    return split(raw(gw.port, head.encode() + b"\r\n\r\n" + body))


def status(gw, key):
    answer, _, body = split(raw(gw.port, post("/up/v1/chat/completions", key)))
    return (answer, json.loads(body)["error"]["code"]) if answer >= 400 else (answer, None)


class TestReports:
    def start(self, running, github):
        config, sign = github
        gw = running(Gateway, running(Upstream, ok()).url, config=config)
        return gw, sign

    def test_a_signed_report_of_a_key_is_answered_by_the_trigger_within_a_second(self, running, github):
        gw, sign = self.start(running, github)
        gw.cli("trigger", "set", "leaked", "--live", "--then", "revoke")
        key, other = gw.key(), gw.key()
        body = json.dumps([{"token": key, "type": "maskllm_masked_key", "url": "https://github.com/o/r/blob/main/x.py", "source": "content"}]).encode()
        began = time.monotonic()
        answer, _, told = report(gw, body, "made-up", sign(body))
        assert answer == 200 and json.loads(told)[0]["label"] == "true_positive"
        assert status(gw, key) == (401, "revoked_key") and time.monotonic() - began < 1
        assert status(gw, other) == (200, None)
        events = json.loads(gw.cli("audit", "list", "--act", "event.leaked", "--json"))
        assert events[0]["details"]["place"] == "https://github.com/o/r/blob/main/x.py"
        shown = gw.cli("key", "show", key.split("_")[1])
        assert "trigger leaked: found at https://github.com" in shown

    def test_the_real_example_passes_and_every_altered_byte_fails(self, running, github):
        path = CORPORA / "secret-scanning/github_example.json"
        if not path.exists():
            pytest.skip(f"the corpus is not at {path}")
        example = json.loads(path.read_text())
        gw, _ = self.start(running, github)
        body = example["body"].encode()
        answer, _, told = report(gw, body, example["key_id"], example["signature_b64"])
        assert answer == 200 and json.loads(told) == [{"label": "false_positive", "token_raw": "some_token", "token_type": "some_type"}]
        for i in range(len(body)):
            altered = body[:i] + bytes([body[i] ^ 1]) + body[i + 1:]
            assert report(gw, altered, example["key_id"], example["signature_b64"])[0] == 401, i
        # The same document written anew is not what was signed.
        assert report(gw, json.dumps(json.loads(body)).encode(), example["key_id"], example["signature_b64"])[0] == 401
        signature = bytearray(base64.b64decode(example["signature_b64"]))
        for i in range(len(signature)):
            bad = bytes(signature[:i]) + bytes([signature[i] ^ 1]) + bytes(signature[i + 1:])
            assert report(gw, body, example["key_id"], base64.b64encode(bad).decode())[0] == 401, i
        assert report(gw, body, "made-up", example["signature_b64"])[0] == 401
        assert report(gw, body, "unknown", example["signature_b64"])[0] == 401
        assert report(gw, body, example["key_id"], "not base64!")[0] == 401

    def test_an_unsigned_report_with_the_whole_key_counts_and_a_guess_does_not(self, running):
        gw = running(Gateway, running(Upstream, ok()).url)
        gw.cli("trigger", "set", "leaked", "--live")
        key = gw.key()
        from test_rotation import key_id
        forged = forge(key)
        assert json.loads(report(gw, json.dumps([{"token": forged}]).encode())[2])[0]["label"] == "false_positive"
        assert status(gw, key) == (200, None)
        assert json.loads(report(gw, json.dumps([{"token": key}]).encode())[2])[0]["label"] == "true_positive"
        assert status(gw, key) == (401, "disabled_key")
        gw.cli("key", "enable", key_id(key))
        assert status(gw, key) == (200, None)

    def test_in_shadow_it_only_says_what_it_would_have_done(self, running):
        gw = running(Gateway, running(Upstream, ok()).url)
        key = gw.key()
        report(gw, json.dumps([{"token": key}]).encode())
        assert status(gw, key) == (200, None)
        event = json.loads(gw.cli("audit", "list", "--act", "event.trigger", "--json"))[0]
        assert event["details"]["shadow"] == "true" and event["details"]["then"] == "disable" and gw.says("would disable")

    def test_unsigned_reports_can_be_refused(self, running):
        gw = running(Gateway, running(Upstream, ok()).url, config="leaks:\n  unsigned: refuse\n")
        assert report(gw, b"[]")[0] == 401

    @pytest.mark.parametrize("body, answer", [(b"", 400), (b"{}", 400), (b"[{}]", 400), (b"[1]", 400), (b"[", 400), (b"[]", 200),
                                              (b'[{"token":"' + b"x" * 300_000 + b'"}]', 400), (json.dumps([{"token": "x"}] * 1001).encode(), 400)])
    def test_what_is_no_report_is_refused(self, running, body, answer):
        gw = running(Gateway, running(Upstream, ok()).url)
        assert report(gw, body)[0] == answer

    def test_a_search_reports_what_it_finds(self, gw, tmp_path):
        gw.cli("trigger", "set", "leaked", "--live", "--then", "revoke")
        key = gw.key()
        (tmp_path / "log").write_text(f"x {key} y")
        done = gw.cli("scan", tmp_path / "log", "--report", check=False)
        assert done.returncode == FOUND and "1 of 1 are keys of this gateway" in done.stderr and status(gw, key) == (401, "revoked_key")


def forge(key):
    """The same ID and shape with another secret, and a right checksum."""
    import zlib
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    body = key[:-6]
    body = body[:-1] + ("A" if body[-1] != "A" else "B")
    n, out = zlib.crc32(body.encode()), ""
    for _ in range(6):
        n, d = divmod(n, 62)
        out = digits[d] + out
    return body + out


class TestRun:
    def test_a_program_gets_a_key_of_its_own_that_ends_with_it(self, gw, tmp_path):
        script = ("import os, sys, urllib.request, json\n"
                  "r = urllib.request.Request(os.environ['OPENAI_BASE_URL'] + '/chat/completions', b'{}', {'Authorization': 'Bearer ' + os.environ['OPENAI_API_KEY'], 'Content-Type': 'application/json'})\n"
                  "print(urllib.request.urlopen(r).status, os.environ['OPENAI_API_KEY'], os.environ['MASKLLM_KEY'] == os.environ['OPENAI_API_KEY'])\nsys.exit(7)\n")
        (tmp_path / "app.py").write_text(script)
        done = subprocess.run([BINARY, "run", "--data", gw.data, "--provider", "up", "--url", gw.url, "--", "python3", tmp_path / "app.py"], capture_output=True, text=True,
                              env={**os.environ, "OPENAI_API_KEY": "sk-real-key-of-the-shell"})
        assert done.returncode == 7, done.stderr
        answer, key, same = done.stdout.split()
        assert answer == "200" and same == "True" and key.startswith("mk_")
        assert status(gw, key) == (401, "revoked_key")
        listed = next(k for k in json.loads(gw.cli("key", "list", "--json")) if k["id"] == key.split("_")[1])
        assert listed["tags"] == ["run"] and listed["name"] == "run python3" and listed["expires_at"]

    def test_signals_reach_the_program_and_the_key_is_revoked(self, gw):
        child = subprocess.Popen([BINARY, "run", "--data", gw.data, "--provider", "up", "--", "sh", "-c", "echo $MASKLLM_KEY; exec sleep 60"], stdout=subprocess.PIPE, text=True)
        key = child.stdout.readline().strip()
        assert status(gw, key) == (200, None)
        child.terminate()
        assert child.wait(20) == 143
        assert status(gw, key) == (401, "revoked_key")

    def test_a_key_from_a_descriptor_is_used_and_stays(self, gw):
        key = gw.key()
        read, write = os.pipe()
        os.write(write, key.encode() + b"\n")
        os.close(write)
        done = subprocess.run([BINARY, "run", "--data", gw.data, "--key-fd", str(read), "--", "sh", "-c", "test \"$MASKLLM_KEY\" = \"$OPENAI_API_KEY\" && echo $MASKLLM_KEY"], pass_fds=[read],
                              capture_output=True, text=True)
        os.close(read)
        assert done.stdout.strip() == key and status(gw, key) == (200, None)

    def test_what_cannot_run_says_why(self, gw):
        for arguments, says in [([], "program is missing"), (["--provider", "up", "--", "/no/such/program"], "cannot be started"), (["--ttl", "0", "--provider", "up", "--", "true"], "--ttl"),
                                (["--provider", "nobody", "--", "true"], "no provider")]:
            done = subprocess.run([BINARY, "run", "--data", gw.data, *arguments], capture_output=True, text=True)
            assert done.returncode in (1, 2) and says in done.stderr, arguments

    def test_env_says_what_to_set(self, gw):
        text = gw.cli("env", "up", "--url", "https://llm.example.com")
        assert "export OPENAI_BASE_URL='https://llm.example.com/up/v1'" in text and 'export OPENAI_API_KEY="$MASKLLM_KEY"' in text
        assert json.loads(gw.cli("env", "--json"))["ant"]["ANTHROPIC_API_KEY"] == "$MASKLLM_KEY"
        assert gw.cli("env", "nobody", check=False).returncode == 1
