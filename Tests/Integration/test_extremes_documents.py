"""No number in a document of the management side, or in the query of one, stops the gateway; what was taken is used at once."""
import asyncio, collections, json, re, urllib.parse

import pytest
from extremes import EXTREMES, Sent, Started, Template, sampled
from load import EFFORT, Lane, answers, cases_of, seeded, timeout_of  # noqa: F401: a fixture
from streams import AdminSocket

AMOUNTS = ["1000000000", "9000000000", "9223372036", "9223372036.854775807", "9223372036.854775808", "0.000000001", "0.0000000001", "18446744073.709551616", "99999999999999999999.99", "1000000"]
DOCUMENTS = [
    *[("PUT", "/v1/teams/t", '{"providers":["*"],"limits":{"%s":%%s}}' % n) for n in ("concurrent", "requests_per_minute", "requests_per_month", "tokens_per_second", "tokens_per_hour", "tokens_per_month", "input_tokens_per_day", "output_tokens_per_minute")],
    ("PUT", "/v1/policies/p", '{"body_bytes_max":%s}'), ("PUT", "/v1/policies/p", '{"output_tokens_max":%s}'), ("PUT", "/v1/policies/p", '{"model_limits":[{"models":["m*"],"limits":{"tokens_per_day":%s,"requests_per_second":%s}}]}'), ("PUT", "/v1/policies/p", '{"limits":{"tokens_per_minute":%s,"input_tokens_per_minute":%s,"requests_per_minute":%s}}'),
    ("POST", "/v1/keys", '{"name":"n","policy":{"providers":["*"],"limits":{"tokens_per_day":%s,"requests_per_hour":%s,"concurrent":%s},"output_tokens_max":%s}}'), ("POST", "/v1/keys", '{"name":"n","count":%s,"policy":{"providers":["*"]}}'),
    ("PUT", "/v1/keys/{id}", '{"policy":{"providers":["*"],"limits":{"output_tokens_per_hour":%s,"tokens_per_second":%s}}}'), ("PUT", "/v1/keys/{id}/throttle", '{"requests_per_minute":%s,"reason":"r"}'), ("POST", "/v1/keys/{id}/rotate", '{"grace_seconds":%s}'),
    ("PUT", "/v1/budgets/b", '{"usd":"%s","window":"day"}'), ("PUT", "/v1/budgets/b", '{"usd":"1","window":"month","alerts":[%s]}'), ("PUT", "/v1/budgets/b", '{"usd":"%s","window":"hour","rolling":true}'), ("POST", "/v1/budgets/large/raise", '{"usd":"%s","until":"2099-01-01T00:00:00Z"}'),
    *[("PUT", "/v1/prices/openai/q", '{"prices":{"output":"1","%s":"%%s"}}' % n) for n in ("input", "image", "second", "max_input", "max_output", "tier_above", "cache_write_1h", "audio_output")],
    ("PUT", "/v1/prices/openai/*", '{"prices":{"input":"%s","output":"%s","tier_above":"%s","tier_input":"%s"}}'), ("PUT", "/v1/provider-keys/{provider_key}", '{"weight":%s}'),
    ("POST", "/v1/policy-replays", '{"policy":{"providers":["*"],"limits":{"tokens_per_day":%s}},"days":30,"key":"{id}"}'), ("POST", "/v1/policy-replays", '{"policy":{"providers":["*"]},"days":%s,"key":"{id}"}'), ("POST", "/v1/replays", '{"trigger":{"when":"spend_spike","count":%s,"times":%s}}'),
    *[("PUT", "/v1/triggers/x", '{"when":"%s","then":"alert","%s":%%s}' % (w, n)) for w, n in (("refusals", "count"), ("refusals", "cooldown_seconds"), ("spend_spike", "times"), ("spend_spike", "count"), ("token_spike", "count"), ("new_network", "learn_days"), ("new_model", "learn_days"), ("unused", "days"), ("probe_then_burst", "count"))],
    ("PUT", "/v1/triggers/x", '{"when":"refusals","count":5,"then":"throttle","per_minute":%s}'), ("PUT", "/v1/schedules/key/{id}", '{"every_seconds":%s,"destinations":["d"]}', 86400), ("PUT", "/v1/schedules/key/{id}", '{"every_seconds":86400,"destinations":["d"],"grace_seconds":%s}', 3600), ("PUT", "/v1/schedules/key/{id}", '{"every_seconds":86400,"destinations":["d"],"spread_seconds":%s}', 60),
    ("PUT", "/v1/alert-channels/c", '{"kind":"webhook","place":"http://127.0.0.1:9/","secret":"made-up-secret-of-nobody-00000000","again_seconds":%s}', 3600), ("PUT", "/v1/alert-channels/c", '{"kind":"webhook","place":"http://127.0.0.1:9/","secret":"made-up-secret-of-nobody-00000000","group_seconds":%s}'),
    ("PUT", "/v1/rotations/{provider_key}", '{"connector":"guided","every_seconds":%s}', 86400), ("PUT", "/v1/rotations/{provider_key}", '{"connector":"guided","timing":{"drain_seconds":%s,"hold_seconds":%s,"stage_seconds":%s,"proof_seconds":%s,"shares":[%s,100]}}', 60),
    *[("POST", "/v1/explain", json.dumps({"method": "POST", "path": path, "key": key, "body": body})) for key in ("{id}", "{tokens}", "{money}", "{scoped}") for path, body in (("/openai/v1/chat/completions", '{"model":"m","messages":[],"max_tokens":%s,"n":2}'), ("/openai/v1/chat/completions", '{"model":"m","messages":[],"max_tokens":9,"n":%s}'),
      ("/openai/v1/responses", '{"model":"m","input":"a","max_output_tokens":%s}'), ("/anthropic/v1/messages", '{"model":"m","messages":[],"max_tokens":%s}'), ("/gemini/v1beta/models/m:generateContent", '{"contents":[],"generationConfig":{"maxOutputTokens":%s,"candidateCount":%s}}'))],
    ("POST", "/v1/explain", '{"method":"POST","path":"/openai/v1/chat/completions","body":"{\\"model\\":\\"m\\",\\"max_tokens\\":9}","policy":{"limits":{"tokens_per_day":%s},"output_tokens_max":%s}}'),
    ("POST", "/v1/revocations", '{"keys":["{id}"],"version":%s,"reason":"r","rehearse":true}', 1),
    *[("GET", f"/v1/{path}?limit=%s", "") for path in ("activity", "activity/export", "audit", "keys", "budgets", "prices", "alerts", "captures", "objects", "tokens")], ("GET", "/v1/usage?from=%s&to=%s", "", "2027-01-31T12:00:00Z"), ("GET", "/v1/keys/{id}/advice?days=%s", ""), ("GET", "/v1/activity?status=%s", "", 200), ("GET", "/v1/activity?after=%s", "", None), ("GET", "/v1/audit?after=%s", "", None),
]


def call(data, method, target, body):
    """One call of the management side with a body as it is: (status, answer); None where the connection ended."""
    connection = AdminSocket(data / "admin.sock")
    try:
        connection.request(method, urllib.parse.quote(target, safe="/?&=%*"), body or None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return None
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.timeout(timeout_of(150))
def test_no_number_in_a_document_stops_the_process(running, tmp_path, answers, capsys):
    template, random = Template(running, tmp_path, answers), seeded("documents")
    cases = [(method, target, body, value) for method, target, body, *_ in DOCUMENTS for value in EXTREMES + (AMOUNTS if '"%s"' in body else [])]
    total = len(cases)
    if EFFORT != "full":
        cases = sampled(random, cases, cases_of(500, total), lambda c: c[:3], lambda c: c[3])
    cases = [(method, target.replace("%s", value.strip('"')), body.replace("%s", value if '"%s"' not in body and "\\" not in body and "/v1/explain" not in target else value.strip('"'))) for method, target, body, value in cases]
    gw = Started(template.copy())
    id = template.keys["plain"].split("_")[1]
    provider_key = json.loads(gw.cli("provider-key", "list", "--json"))[0]["id"]
    counts, faults = collections.Counter(), []
    keys = list(template.keys.values())
    gw.cli("destination", "set", "d", "--kind", "file", "--place", tmp_path / "delivered")
    ids = {"id": id, "provider_key": provider_key, **{name: key.split("_")[1] for name, key in template.keys.items()}}
    fill = lambda text: re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], found[0]), text)
    # Each document is one that is taken, but for the number in it.
    dead = []
    for method, target, body, *normal in DOCUMENTS:
        if normal != [None]:
            text = str(*normal or "5")
            got = call(gw.data, method, fill(target.replace("%s", text)), fill(body.replace("%s", text)))
            dead += [(method, target, body, got)] if got is None or got[0] >= 300 else []
    assert not dead, "\n".join(map(str, dead))
    for number, (method, target, body) in enumerate(cases):
        got = call(gw.data, method, fill(target), fill(body))
        counts[got and got[0] // 100 * 100] += 1
        if got is None or got[0] == 500:
            faults.append((method, target, body, got))
        if got is None:
            # The one that ended it is told; the others go on with another process.
            gw.child.wait(20)
            gw = Started(template.copy())
            continue
        if got[0] < 300 and method != "GET":
            # What was taken is used at once: a request that multiplies, by every key.
            answers.put(number, b'{"id":"x","model":"q","choices":[],"usage":{"prompt_tokens":1000000,"completion_tokens":1000000,"prompt_tokens_details":{"cached_tokens":5}}}')

            async def ask():
                lane = Lane(gw.port)
                made = re.search(rb'"(mk_[0-9A-Za-z_]+)"', got[1])
                for key in [*keys, *([made[1].decode()] if made else [])]:
                    for body in (b'{"model":"q","messages":[],"max_tokens":1000000,"n":1024}', b'{"model":"q","messages":[],"max_tokens":10}'):
                        case = Sent("", "", "k", "POST", "/openai/v1/chat/completions", body)
                        answer = await lane.ask(case.written(number, {"k": key}))
                        counts["requests"] += 1
                        if answer is None:
                            return False
                lane.close()
                return True

            try:
                lives = asyncio.run(ask())
            except OSError:
                lives = False
            if not lives:
                gw.child.wait(20)
                faults.append(("the request after", method, target, body))
                gw = Started(template.copy())
    if gw.child.poll() is None and gw.stop() != 0:
        faults.append(("the stop", gw.output[-500:]))
    try:
        again = Started(gw.data)
        for command in (["usage", "--json"], ["budget", "list", "--json"], ["doctor"], ["trigger", "list", "--json"]):
            if again.cli(*command, check=False).returncode < 0 or again.child.poll() is not None:
                faults.append(("after a restart", command))
        if again.child.poll() is None and again.stop() != 0:
            faults.append(("the last stop", again.output[-500:]))
    except AssertionError as error:
        faults.append(("the next start", str(error)[-800:]))
    with capsys.disabled():
        print(f"\ndocuments: {len(cases)} of {total} cases in {len(DOCUMENTS)} documents, answers {dict(counts)}, {len(faults)} faults")
    assert not faults, "\n".join(map(str, faults[:40]))
    assert counts[200] > len(cases) / 30
