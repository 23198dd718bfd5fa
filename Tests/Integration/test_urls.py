"""URLs that keys go to, against another parser of the URL Standard (ada): the same to the byte, or refused."""
import http.client, json, random

import ada_url
import pytest
from test_admin import Managed
from conftest import Upstream, ok

SEED = 14
CASES = 4000

NUMBERS = ["0", "1", "127", "0127", "0177", "0x7f", "0X7F", "255", "256", "00", "08", "09", "4294967295", "2130706433", "0x", "1e3", "65535", "-1"]
LABELS = ["a", "api", "Example", "com", "localhost", "xn--bcher-kva", "a-b", "-a", "a_b", "", "é", "１", "a%2eb", "%31", "a b", "0xg", "ff"] + NUMBERS
SIXES = ["::1", "::", ":::", "1::2::3", "::ffff:1.2.3.4", "::1.2.3.4", "::1.2.3.256", "::01.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "2001:DB8::1", "0:0:1:0:0:0:1:0",
         "fe80::1%25eth0", "::12345", "1:2", "::g", "", "1:2:3:4:5:6:1.2.3.4", "::0001"]
PARTS = ["a", "v1", ".", "..", "%2e", "%2E.", "a.b", "", "a%20b", "%", "%zz", "%2f", "<", '"', "{x}", "^", "`", "|", "'", "a b", "é", "\\", ";p=1", "@", ":", "~", "*", "#f", "?q=1", "?q='", '?"']


def made(pick):
    scheme = pick.choices(["https://", "http://", "HTTPS://", "https:/", "https:", "ftp://", "//", ""], [40, 10, 1, 1, 1, 1, 1, 1])[0]
    host = pick.choice(["[" + pick.choice(SIXES) + "]", ".".join(pick.choice(LABELS) for _ in range(pick.randint(1, 4))), ".".join(pick.choice(NUMBERS) for _ in range(pick.randint(1, 5)))])
    user = pick.choices(["", "u@", "u:p@", "@", "a@b@"], [30, 1, 1, 1, 1])[0]
    port = pick.choices(["", ":80", ":443", ":8443", ":0", ":65536", ":", ":x", ":0080", ":+1"], [20, 2, 2, 2, 1, 1, 1, 1, 1, 1])[0]
    path = "".join("/" + pick.choice(PARTS) for _ in range(pick.choices([0, 1, 2, 3], [4, 4, 2, 1])[0]))
    return f"{scheme}{user}{host}{pick.choices(['', '.'], [15, 1])[0]}{port}{path}"


def test_a_base_url_is_what_the_standard_makes_of_it_or_refused(running, tmp_path):
    gw = running(lambda: Managed(tmp_path, running(Upstream, ok()).url))
    token = gw.token("--role", "owner")
    pick = random.Random(SEED)
    connection = http.client.HTTPConnection("127.0.0.1", gw.admin_port, timeout=30)
    taken, differing = 0, []
    for n in range(CASES):
        url = made(pick)
        connection.request("POST", "/v1/providers", json.dumps({"name": f"p{n % 20}", "kind": "openai", "base_url": url}), {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        if answer.status != 201:
            # A server error would be no refusal.
            assert answer.status == 400, (url, answer.status, document)
            continue
        taken += 1
        try:
            oracle = ada_url.URL(url)
        except ValueError:
            # Its check of what a punycode label decodes to is not ours: the name goes to the resolver as it stands.
            if "xn--" not in url:
                differing.append((url, document["base_url"], "refused"))
            continue
        if oracle.origin + oracle.pathname.rstrip("/") != document["base_url"] or oracle.search or oracle.hash or oracle.username or oracle.password:
            differing.append((url, document["base_url"], oracle.href))
    assert not differing, differing[:20]
    # A parser that refuses all would agree with everybody.
    assert taken > CASES / 40, taken
    print(f"{CASES} URLs, {taken} taken, differing 0")


@pytest.mark.parametrize("url", ["http://0127.0.0.1:8088", "http://0x7f000001", "http://2130706433", "http://127.1", "https://256.256.256.256", "https://[:::]", "https://foo.0x4", 'https://a/"', "https://a/{b}"])
def test_an_address_in_disguise_is_no_base_url_and_no_fallback(running, tmp_path, url):
    gw = running(lambda: Managed(tmp_path, running(Upstream, ok()).url))
    token = gw.token("--role", "owner")
    assert gw.call("POST", "/v1/providers", token, {"name": "x", "kind": "openai", "base_url": url})[0] == 400
    assert gw.call("POST", "/v1/providers", token, {"name": "x", "kind": "openai", "base_url": "https://a", "fallback_urls": [url]})[0] == 400
    for place in ({"kind": "webhook", "place": url}, {"kind": "vault-kv", "place": "a", "address": url}):
        assert gw.call("PUT", "/v1/destinations/x", token, {**place, "secret": "made-up-secret"})[0] in (400, 422), place
    assert gw.call("PUT", "/v1/alert-channels/x", token, {"kind": "webhook", "place": url, "secret": "made-up-secret"})[0] in (400, 422)
