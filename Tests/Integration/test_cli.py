"""The command line as a person or a script uses it: with a server and without, what it says, and what it refuses."""
import json, os, pathlib, pty, re, socket, subprocess, time

import pytest
from conftest import BINARY, DEMO_KEY, Gateway, Process, Upstream, cli, ok, post, raw, split


@pytest.fixture
def data(tmp_path):
    cli(tmp_path / "d", "init")
    return tmp_path / "d"


def test_init_makes_what_it_says_and_only_once(tmp_path):
    done = cli(tmp_path / "d", "init", check=False)
    assert done.returncode == 0 and re.fullmatch(f"initialised {tmp_path / 'd'}\nmka_\\w+\n", done.stdout) and "back it up" in done.stderr
    modes = {p.name: oct(p.stat().st_mode & 0o777) for p in (tmp_path / "d").iterdir()}
    assert modes["unseal.key"] == "0o400" and modes["maskllm.db"] == "0o600" and set(modes.values()) <= {"0o400", "0o600"}
    assert oct((tmp_path / "d").stat().st_mode & 0o777) == "0o700"
    before = {p.name: p.read_bytes() for p in (tmp_path / "d").iterdir()}
    again = cli(tmp_path / "d", "init", check=False)
    assert again.returncode == 1 and "initialised already" in again.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "d").iterdir()} == before


def test_the_life_of_keys_without_a_server_and_with_one(data, running, tmp_path):
    assert "sealed provider key" in cli(data, "provider-key", "add", "openai", input=DEMO_KEY)
    first = cli(data, "key", "create", "--name", "first", "--provider", "openai")
    assert first.startswith("mk_") and len(first.split("\n")) == 1
    server = running(Process, ["serve", "--data", data, "--listen", "127.0.0.1:0"])
    created = json.loads(cli(data, "key", "create", "--name", "second", "--provider", "*", "--prefix", "sk", "--expires", "2099-01-01", "--json"))
    assert created["masked_key"].startswith("sk_") and created["key"]["expires_at"] == "2099-01-01T00:00:00.000Z"
    keys = json.loads(cli(data, "key", "list", "--json"))
    assert [k["name"] for k in keys] == ["first", "second"] and all("masked_key" not in k and "hash" not in k for k in keys)
    id_ = keys[0]["id"]
    for command, state in (("disable", "disabled"), ("disable", "disabled"), ("enable", "active"), ("revoke", "revoked"), ("revoke", "revoked")):
        assert json.loads(cli(data, "key", command, id_, "--json"))["state"] == state
    assert "which is final" in cli(data, "key", "enable", id_, check=False).stderr
    assert f"id         {id_}" in cli(data, "key", "show", id_)
    status = json.loads(cli(data, "status", "--json"))
    assert (status["keys"], status["provider_keys"], status["sealed"], status["tampered_keys"]) == (2, 1, False, [])
    assert "masked keys    2" in cli(data, "status")
    assert server.stop() == 0
    assert json.loads(cli(data, "key", "show", id_, "--json"))["state"] == "revoked"


def test_tables_are_for_people(data):
    cli(data, "key", "create", "--name", "a", "--provider", "openai")
    lines = cli(data, "key", "list").split("\n")
    assert lines[0].split() == ["ID", "NAME", "STATE", "TEAM", "POLICY", "PROVIDERS", "CREATED", "EXPIRES"]
    assert lines[1].split()[1:6] == ["a", "active", "-", "-", "openai"]
    assert ["anthropic", "https://api.anthropic.com", "anthropic", "header:x-api-key", "0"] in [l.split() for l in cli(data, "provider", "list").split("\n")]
    kinds = {l.split()[0] for l in cli(data, "provider", "kinds").split("\n")}
    assert {"openai", "openai-compatible", "azure", "anthropic", "gemini", "vertex", "bedrock", "mistral", "cohere", "groq", "together", "fireworks", "deepseek", "xai", "perplexity", "openrouter",
            "huggingface", "nvidia", "cerebras", "replicate", "voyage", "jina", "ai21", "databricks", "cloudflare", "watsonx", "ollama", "vllm", "lmstudio", "llamacpp", "litellm"} <= kinds
    assert cli(data, "provider-key", "list") == "ID  PROVIDER  NAME  VERSION  STATE  WEIGHT  TAGS  CREATED"
    assert cli(data, "activity").startswith("TIME")


def test_secrets_come_from_a_descriptor_or_standard_input(data):
    read, write = os.pipe()
    os.write(write, DEMO_KEY.encode())
    os.close(write)
    assert json.loads(cli(data, "provider-key", "add", "openai", "--secret-fd", str(read), "--json", pass_fds=[read]))["provider"] == "openai"
    assert json.loads(cli(data, "provider-key", "add", "openai", "--name", "two", "--json", input=DEMO_KEY + "\r\n"))["name"] == "two"


@pytest.mark.parametrize("args, says", [
    (["nonsense"], "no command of that name"), (["key"], "needs one of: create, list"), (["key", "create"], "'--name' is missing"),
    (["key", "create", "--name", "n"], "a key without a provider can do nothing"), (["key", "create", "--name", "n", "--provider", "nobody"], "no provider 'nobody'"),
    (["key", "create", "--name", "n", "--provider", "openai", "--expires", "tomorrow"], "that is no time"),
    (["key", "create", "--name", "n", "--provider", "openai", "--expires", "2001-01-01"], "lies in the past"),
    (["key", "create", "--name", "n", "--name", "m", "--provider", "openai"], "is given twice"),
    (["key", "create", "--name", "n", "--provider", "openai", "--prefix", "a_b"], "that prefix cannot be used"),
    (["key", "create", "--name", "a\nb", "--provider", "openai"], "that name cannot be used"),
    (["key", "create", "--name", "n", "--provider", "openai", "--count", "1001"], "1 to 1000"), (["key", "create", "--nope"], "there is no option '--nope'"), (["key", "create", "-x"], "options start with --"),
    (["key", "create", "--name", "n", "--provider", "*", "--model", "a b"], "model pattern cannot be used"),
    (["key", "create", "--name", "n", "--provider", "*", "--endpoint", "nope"], "no endpoint class 'nope'"),
    (["key", "create", "--name", "n", "--provider", "*", "--network", "10.0.0.1/8"], "is no network"),
    (["key", "create", "--name", "n", "--provider", "*", "--not-before", "soon"], "that is no time"),
    (["key", "create", "--name", "n", "--provider", "*", "--body-bytes-max", "0"], "is no number from 1"),
    (["key", "create", "--name", "n", "--provider", "*", "--limit", "requests_per_minute=0"], "is no limit"),
    (["key", "create", "--name", "n", "--provider", "*", "--limit", "concurrent=many"], "is no limit"),
    (["key", "show"], "ID is missing"), (["key", "show", "short"], "that is no ID"), (["key", "show", "AAAAAAAAAAAA"], "there is no key"),
    (["key", "show", "AAAAAAAAAAAA", "BBBBBBBBBBBB"], "only one ID"), (["key", "revoke", "AAAAAAAAAAAA"], "there is no key"),
    (["key", "list", "--json=yes"], "takes no value"), (["provider-key", "add"], "PROVIDER is missing"), (["provider-key", "add", "nobody"], "no provider of that name"),
    (["provider-key", "add", "openai", "sk-on-the-command-line"], "only one PROVIDER"), (["provider-key", "remove", "AAAAAAAAAAAA"], "no provider key"),
    (["provider-key", "add", "openai", "--secret-fd", "x"], "no number"), (["provider-key", "add", "openai", "--secret-fd", "99"], "cannot be read"),
    (["provider", "add", "p"], "has no address of its own"), (["provider", "add", "p", "--base-url", "http://api.test"], "must not travel in the clear"),
    (["provider", "add", "P!", "--base-url", "https://api.test"], "no provider name"), (["provider", "add", "p", "--base-url", "https://api.test", "--kind", "x"], "there is no kind of provider 'x'"),
    (["provider", "add", "p", "--base-url", "https://api.test", "--credential", "x"], "credential style is not known"),
    (["activity", "--limit", "0"], "1 to 1000"), (["activity", "--key", "x"], "that is no ID"), (["activity", "--from", "x"], "that is no time"),
    (["status"], "no server answers"), (["unseal"], "no server answers"), (["serve", "sk-on-the-command-line"], "is not wanted here"), (["serve", "--listen", "nowhere"], "no address to listen on"),
    (["serve", "--listen", "example.com:1"], "is no address to listen on"), (["serve", "--loops", "0"], "1 to 256"), (["serve", "--tls-certificate", "x"], "both a certificate and a key"),
    (["serve", "--tls-certificate", "x", "--tls-key", "y"], "cannot be used"), (["serve", "--config", "/nonexistent"], "no configuration file"),
])
def test_refusals(data, args, says):
    before = {p.name: p.read_bytes() for p in data.iterdir() if p.name == "maskllm.db"}
    done = cli(data, *args, input="", check=False)
    assert done.returncode in (1, 2) and done.stdout == "" and done.stderr.startswith("maskllm: ") and says in done.stderr, done.stderr
    assert "on-the-command-line" not in done.stderr
    assert {p.name: p.read_bytes() for p in data.iterdir() if p.name == "maskllm.db"} == before


@pytest.mark.parametrize("secret, says", [("", "8 to 8192"), ("short", "8 to 8192"), ("sk-with space-000", "visible ASCII"), ("x" * 9000, "8 to 8192"), ("x" * 70_000, "too large")])
def test_provider_keys_that_cannot_be_keys(data, secret, says):
    done = cli(data, "provider-key", "add", "openai", input=secret, check=False)
    assert done.returncode == 2 and says in done.stderr and (len(secret) < 8 or secret not in done.stderr)


@pytest.mark.parametrize("config, says", [("lisen: 127.0.0.1:1", "line 1: there is no setting 'lisen'"), ("a: 1\n\nlimits:\n  body_bytes_max: many", "line 4"), ("loops: [1]", "line 1: a list")])
def test_configuration_mistakes_are_named_with_their_line(data, config, says):
    (data / "maskllm.yaml").write_text(config)
    done = cli(data, "serve", check=False)
    assert done.returncode == 2 and says in done.stderr


def test_places_that_cannot_be_used(tmp_path, data):
    assert "run 'maskllm init' first" in cli(tmp_path / "nowhere", "key", "list", check=False).stderr
    os.chmod(data, 0o755)
    assert f"chmod 700 {data}" in cli(data, "key", "list", check=False).stderr
    os.chmod(data, 0o700)
    os.chmod(data / "unseal.key", 0o444)
    assert "chmod 400" in cli(data, "key", "list", check=False).stderr
    os.chmod(data / "unseal.key", 0o400)
    os.rename(data / "unseal.key", data / "elsewhere.key")
    assert "--key-file" in cli(data, "key", "list", check=False).stderr
    assert cli(data, "key", "list", "--key-file", data / "elsewhere.key").startswith("ID")
    cli(tmp_path / "other", "init")
    assert "does not open this vault" in cli(data, "key", "list", "--key-file", tmp_path / "other" / "unseal.key", check=False).stderr


def test_a_second_server_and_a_taken_port_are_refused(data, running, tmp_path):
    server = running(Process, ["serve", "--data", data, "--listen", "127.0.0.1:0"])
    assert "another process is using the data directory" in cli(data, "serve", check=False).stderr
    with socket.create_server(("127.0.0.1", 0)) as s:
        cli(tmp_path / "other", "init")
        done = cli(tmp_path / "other", "serve", "--listen", f"127.0.0.1:{s.getsockname()[1]}", check=False)
        assert done.returncode == 1 and "cannot listen" in done.stderr and "--listen" in done.stderr


def test_a_row_edited_in_the_database_is_shown_and_not_used(running, tmp_path):
    gw = running(Gateway, running(Upstream, ok()).url)
    key, other = gw.key("--provider", "ant"), gw.key("--provider", "up")
    gw.stop()
    done = subprocess.run(["sqlite3", gw.data / "maskllm.db", "UPDATE masked_key SET policy = CAST('{\"providers\":[\"*\"]}' AS BLOB) WHERE id = '%s'" % key.split("_")[1]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    gw.start()
    assert split(raw(gw.port, post("/up/v1/chat/completions", key)))[0] == 401
    assert split(raw(gw.port, post("/up/v1/chat/completions", other)))[0] == 200
    assert json.loads(gw.cli("status", "--json"))["tampered_keys"] == [key.split("_")[1]]
    assert gw.says("changed outside maskllm")
    assert [k["state"] for k in json.loads(gw.cli("key", "list", "--json"))] == ["active", "tampered"]


def test_the_admin_socket_is_for_its_owner(data, running):
    running(Process, ["serve", "--data", data, "--listen", "127.0.0.1:0"])
    assert oct((data / "admin.sock").stat().st_mode & 0o777) == "0o600"


def test_everything_can_be_json(tmp_path, running):
    data = tmp_path / "d"
    made = json.loads(cli(data, "init", "--json"))
    assert made["data"] == str(data) and made["owner_token"].startswith("mka_")
    assert json.loads(cli(data, "provider", "add", "p", "--base-url", "https://api.test", "--json"))["base_url"] == "https://api.test"
    key = json.loads(cli(data, "provider-key", "add", "p", "--json", input=DEMO_KEY))
    assert json.loads(cli(data, "provider-key", "remove", key["id"], "--json")) == {"erased": key["id"]}
    assert json.loads(cli(None, "version", "--json")) == {"version": "0.1.0"}
    assert [k["key"]["name"] for k in json.loads(cli(data, "key", "create", "--name", "n", "--provider", "p", "--count", "2", "--json"))] == ["n-1", "n-2"]
    assert len(cli(data, "key", "create", "--name", "m", "--provider", "p", "--count", "3").split("\n")) == 3


def test_a_passphrase_is_asked_for_twice_and_not_shown(tmp_path):
    def talk(args, answers):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(BINARY, [str(BINARY), *args, "--data", str(tmp_path / "d")])
        seen = b""
        try:
            while True:
                piece = os.read(terminal, 4096)
                if not piece:
                    break
                seen += piece
                if answers and answers[0][0] in seen.split(b"\n")[-1]:
                    os.write(terminal, answers.pop(0)[1] + b"\n")
        except OSError:  # the end of a terminal
            pass
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen

    words = b"correct horse battery staple"
    code, seen = talk(["init", "--passphrase"], [(b"new passphrase: ", words), (b"once more: ", b"correct horse battery stapler")])
    assert code == 2 and b"differ" in seen and not (tmp_path / "d").exists()
    code, seen = talk(["init", "--passphrase"], [(b"new passphrase: ", b"short")])
    assert code == 2 and b"shorter than 12" in seen
    code, seen = talk(["init", "--passphrase"], [(b"new passphrase: ", words), (b"once more: ", words)])
    assert code == 0 and words not in seen and not (tmp_path / "d" / "unseal.key").exists()
    code, seen = talk(["key", "list"], [(b"passphrase: ", words)])
    assert code == 0 and b"EXPIRES" in seen and words not in seen
    code, seen = talk(["key", "list"], [(b"passphrase: ", b"wrong horse battery staple")])
    assert code == 1 and b"does not open this vault" in seen


def test_help_version_and_completions(tmp_path):
    text = cli(None, "help")
    commands = [line.split("  ")[1] for line in text.split("\n") if line.startswith("  ")]
    assert len(commands) == 116 and cli(None) == text
    for command in commands:
        assert cli(None, *command.split(), "--help").startswith(f"usage: maskllm {command}")
    assert cli(None, "version") == cli(None, "--version") == "maskllm 0.1.0"
    for shell in ("bash", "zsh", "fish"):
        assert "provider-key" in cli(None, "completions", shell)
    assert cli(None, "completions", "tcsh", check=False).returncode == 2
    script = tmp_path / "complete.bash"
    script.write_text(cli(None, "completions", "bash") + '\nCOMP_WORDS=(maskllm key cr); COMP_CWORD=2; _maskllm; echo "${COMPREPLY[@]}"\n'
                      'COMP_WORDS=(maskllm key create --na); COMP_CWORD=3; _maskllm; echo "${COMPREPLY[@]}"\nCOMP_WORDS=(maskllm ser); COMP_CWORD=1; _maskllm; echo "${COMPREPLY[@]}"\n')
    assert subprocess.run(["bash", script], capture_output=True, text=True).stdout == "create\n--name\nserve\n"


def test_the_demo_needs_nothing_and_leaves_nothing(running, tmp_path):
    demo = running(Process, ["demo", "--pace-ms", "0"], env={**os.environ, "TMPDIR": str(tmp_path)})
    key = demo.output.split("Bearer ")[1].split("'")[0]
    for path in ("/demo/v1/chat/completions", "/demo-anthropic/v1/messages"):
        assert b"MaskLLM demo provider" in raw(demo.port, post(path, key, b'{"model":"m"}'))
    made, = tmp_path.iterdir()
    assert made.name.startswith("maskllm-demo-") and made.stat().st_mode & 0o777 == 0o700
    # What is tried leaves more files than a start does, a secret among them.
    cli(made, "revoke", "--key", key.split("_")[1], "--reason", "tried")
    cli(made, "vault", "rotate-root")
    assert {"endings", "unseal.key.old"} <= {p.name for p in made.iterdir()}
    # What others own and is only linked to stays.
    (tmp_path / "kept").write_text("kept")
    (made / "hooks").mkdir()
    (made / "hooks/link").symlink_to(tmp_path / "kept")
    assert demo.stop() == 0
    assert [p.name for p in tmp_path.iterdir()] == ["kept"] and (tmp_path / "kept").read_text() == "kept"


def test_a_demo_that_has_nowhere_to_be_says_so(tmp_path):
    done = subprocess.run([BINARY, "demo"], env={**os.environ, "TMPDIR": str(tmp_path / "nowhere")}, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and f"no directory can be made in {tmp_path}/nowhere" in done.stderr and "TMPDIR" in done.stderr
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    done = subprocess.run([BINARY, "demo"], env={**os.environ, "TMPDIR": str(deep)}, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "too long" in done.stderr and list(deep.iterdir()) == []


def test_serve_demo_twice_ends_the_first_runs_key(data, running):
    keys = []
    for _ in range(2):
        server = running(Process, ["serve", "--demo", "--data", data, "--listen", "127.0.0.1:0"])
        keys.append(server.output.split("Bearer ")[1].split("'")[0])
        statuses = [split(raw(server.port, post("/demo/v1/chat/completions", k, b'{"model":"m"}')))[0] for k in keys]
        assert statuses == [401] * (len(keys) - 1) + [200]
        server.stop()
