"""`maskllm import` takes over keys, models, limits and budgets from elsewhere, and says what it left."""
import json

from conftest import Gateway, Upstream, cli, ok, post, raw

OPENAI = "sk-proj-madeupmadeupmadeup01"
ANTHROPIC = "sk-ant-api03-madeupmadeup02"
MISTRAL = "madeupmadeupmadeupmadeupmadeup03"
SECRETS = [OPENAI, ANTHROPIC, MISTRAL, "madeup/secret/of/amazon04", "madeupazure05", "madeup-local-06", "madeup-groq-07"]


def run(data, *args, check=True, env=None):
    done = cli(data, "import", *args, check=False, env={"PATH": "/usr/bin:/bin", **(env or {})})
    if check:
        assert done.returncode == 0, done.stderr
    assert not any(s in done.stdout + done.stderr for s in SECRETS), "a secret was printed"
    return done


def keys(data):
    return sorted((k["provider"], k["name"]) for k in json.loads(cli(data, "provider-key", "list", "--json")))


def initialised(tmp_path):
    cli(tmp_path / "d", "init")
    return tmp_path / "d"


def test_env_files_are_read_as_programs_read_them(tmp_path):
    data = initialised(tmp_path)
    masked = cli(data, "key", "create", "--name", "x", "--provider", "*")
    (tmp_path / ".env").write_text(
        "# keys of the shop\r\n"
        f"export OPENAI_API_KEY='{OPENAI}'\r\n"
        f'ANTHROPIC_API_KEY = "{ANTHROPIC}" # of Ann\n'
        f"MISTRAL_API_KEY={MISTRAL}   # no quotes\n"
        "AWS_ACCESS_KEY_ID=AKIAMADEUP000000TEST\nAWS_SECRET_ACCESS_KEY=madeup/secret/of/amazon04\nAWS_REGION=eu-west-1\n"
        "AZURE_OPENAI_ENDPOINT=https://ours.openai.azure.com\nAZURE_OPENAI_API_KEY=madeupazure05\n"
        "GEMINI_API_KEY=$OTHER_VARIABLE\n"
        f"GROQ_API_KEY={masked}\n"
        "DATABASE_URL=postgres://db/shop\nPORT=8080\nnot a line\n=x\n")
    done = run(data, tmp_path / ".env", "--rehearse")
    assert done.stderr.count("would seal") == 5 and keys(data) == []
    done = run(data, tmp_path / ".env")
    assert keys(data) == [("anthropic", "ANTHROPIC_API_KEY"), ("azure", "AZURE_OPENAI_API_KEY"), ("bedrock", "AWS_ACCESS_KEY_ID"),
                          ("mistral", "MISTRAL_API_KEY"), ("openai", "OPENAI_API_KEY")]
    assert f"not carried over: GEMINI_API_KEY of {tmp_path}/.env: its value refers to another variable" in done.stderr
    assert "DATABASE_URL" not in done.stderr and "PORT" not in done.stderr
    urls = {p["name"]: p["base_url"] for p in json.loads(cli(data, "provider", "list", "--json"))}
    assert urls["azure"] == "https://ours.openai.azure.com" and urls["bedrock"] == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    again = run(data, tmp_path / ".env")
    assert again.stderr.count("left as it is") == 5 and len(keys(data)) == 5


def test_what_is_sealed_is_the_value_itself(running, tmp_path):
    up = running(Upstream, ok())
    gw = running(Gateway, up.url)
    (tmp_path / "c.yaml").write_text(
        f"model_list:\n  - model_name: chat\n    litellm_params: {{model: openai/small, api_base: '{up.url}/v1', api_key: os.environ/LOCAL, rpm: 2}}\n")
    run(gw.data, "--litellm", tmp_path / "c.yaml", env={"LOCAL": "madeup-local-06"})
    key = gw.cli("key", "create", "--name", "k", "--policy", "litellm")
    body = b'{"model":"small","messages":[]}'
    answers = [raw(gw.port, post("/127-0-0-1/v1/chat/completions", key, body)) for _ in range(3)]
    assert [a.split(b" ")[1] for a in answers] == [b"200", b"200", b"429"], answers
    assert all(b"Bearer madeup-local-06" in bytes(str(r), "latin1") for r in up.requests) and len(up.requests) == 2


def test_a_masked_key_is_not_taken_for_a_providers(tmp_path):
    data = initialised(tmp_path)
    masked = cli(data, "key", "create", "--name", "x", "--provider", "*")
    done = run(data, "--environment", env={"OPENAI_API_KEY": masked})
    assert keys(data) == [] and "OPENAI_API_KEY of the environment: it is a masked key already" in done.stderr


def test_the_environment_is_taken_only_where_asked(tmp_path):
    data = initialised(tmp_path)
    (tmp_path / ".env").write_text("PORT=1\n")
    run(data, tmp_path / ".env", env={"OPENAI_API_KEY": OPENAI})
    assert keys(data) == []
    done = run(data, "--environment", env={"OPENAI_API_KEY": OPENAI, "AWS_ACCESS_KEY_ID": "AKIAMADEUP000000TEST", "AWS_SECRET_ACCESS_KEY": SECRETS[3]})
    assert keys(data) == [("openai", "OPENAI_API_KEY")]
    assert "the region is not said (AWS_REGION)" in done.stderr


CONFIG = f"""
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 100, tpm: 20000}}
  - model_name: fast
    litellm_params: {{model: groq/llama-3.1-8b-instant, api_key: madeup-groq-07, timeout: 30}}
  - model_name: claude
    litellm_params: {{model: anthropic/claude-sonnet-4-5, api_key: os.environ/NOT_SET}}
  - model_name: own
    litellm_params: {{model: azure/deployment, api_key: os.environ/OPENAI_API_KEY}}
  - model_name: odd
    litellm_params: {{model: nowhere/x}}
  - model_name: empty
router_settings:
  routing_strategy: simple-shuffle
general_settings:
  master_key: sk-1234
"""


def test_a_configuration_of_litellm_becomes_providers_keys_and_a_policy(tmp_path):
    data = initialised(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = run(data, "--litellm", tmp_path / "config.yaml", env={"OPENAI_API_KEY": OPENAI})
    assert keys(data)[0][0] == "groq" and ("openai", "OPENAI_API_KEY") in keys(data)
    policy = next(p for p in json.loads(cli(data, "policy", "list", "--json")) if p["name"] == "litellm")["policy"]
    assert set(policy["providers"]) == {"openai", "groq", "anthropic"}
    assert set(policy["models"]) == {"gpt-4o", "llama-3.1-8b-instant", "claude-sonnet-4-5"}
    assert policy["model_limits"] == [{"models": ["gpt-4o"], "limits": {"requests_per_minute": 100, "tokens_per_minute": 20000}}]
    for left in ["the variable NOT_SET is not set here", "where 'azure' is reached is yours to say", "provider 'nowhere' is not known",
                 "'litellm_params.timeout'", "a model without 'litellm_params.model'", "'router_settings.routing_strategy'",
                 "'general_settings.master_key'", "the name 'fast' for 'llama-3.1-8b-instant'"]:
        assert any(line.startswith("not carried over") and left in line for line in done.stderr.splitlines()), (left, done.stderr)


def test_virtual_keys_become_masked_keys_with_their_limits_and_budgets(tmp_path):
    data = initialised(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [
        {"key_alias": "search", "max_budget": 10.1, "budget_duration": "1d", "rpm_limit": 7, "models": ["fast"], "max_parallel_requests": 3,
         "expires": "2031-05-06T07:08:09.123Z"},
        {"key_name": "sk-...abcd", "max_budget": 5, "budget_duration": "45d", "models": ["all-team-models"]},
        {"key_alias": "gone", "blocked": True}, {"key_alias": "bare", "max_budget": 2e-06}], "total_count": 4}))
    done = run(data, "--litellm", tmp_path / "config.yaml", "--litellm-keys", tmp_path / "keys.json", env={"OPENAI_API_KEY": OPENAI})
    made = dict(line.split("\t") for line in done.stdout.splitlines())
    assert len(made) == 3 and all(m.startswith("mk_") for m in made.values())
    listed = {k["name"]: k for k in json.loads(cli(data, "key", "list", "--json"))}
    search = json.loads(cli(data, "key", "show", listed["search"]["id"], "--json"))
    assert search["policy"]["models"] == ["llama-3.1-8b-instant"] and search["expires_at"] == "2031-05-06T07:08:09.000Z"
    assert search["policy"]["limits"] == {"requests_per_minute": 7, "concurrent": 3} and search["shared_policy"] == "litellm"
    budgets = {b["key"]: (b["usd"], b["window"]) for b in json.loads(cli(data, "budget", "list", "--json"))}
    assert budgets[listed["search"]["id"]] == ("10.10", "day") and budgets[listed["bare"]["id"]] == ("0.000002", "total")
    assert ("5.00", "month") in budgets.values()
    assert "virtual key 'gone': it is blocked" in done.stderr and "the duration '45d'" in done.stderr


def test_what_cannot_be_read_is_refused(tmp_path):
    data = initialised(tmp_path)
    (tmp_path / "bad.yaml").write_text("model_list: [\n")
    (tmp_path / "bad.json").write_text("{}")
    for args, said in [([], "what to import is missing"), ([tmp_path / "none"], "there is no file"), (["--litellm", tmp_path / "none"], "there is no file"),
                       (["--litellm", tmp_path / "bad.yaml"], "bad.yaml"), (["--litellm-keys", tmp_path / "bad.json"], "is no list of keys")]:
        done = run(data, *args, check=False)
        assert done.returncode != 0 and said in done.stderr, (args, done.stderr)
