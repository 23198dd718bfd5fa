"""The example package builds against the library and resolves beside a running server."""
import json, os, shutil, subprocess

import pytest
from conftest import DEMO_KEY, ROOT, Gateway, Upstream, ok, wait_until


pytestmark = pytest.mark.timeout(900)  # a cold build is part of it


@pytest.fixture(scope="module")
def example():
    build = ["swift", "build", "--package-path", str(ROOT / "Examples/Resolve"), "--scratch-path", str(ROOT / ".build/example")]
    done = subprocess.run(build, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        # SwiftPM may not see files that were added to a path dependency since its last plan: once more without the old one.
        shutil.rmtree(ROOT / ".build/example")
        done = subprocess.run(build, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:]
    return ROOT / ".build/example/debug/resolve"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_resolves_and_refuses_as_the_gateway_does(example, running):
    gw = running(Gateway, running(Upstream, ok()).url)
    key = gw.key("--provider", "up")

    def resolve(key, provider="up"):
        done = subprocess.run([example, gw.data, provider], env={**os.environ, "MASKLLM_KEY": key}, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.strip()

    assert resolve(key) == (0, f"resolved: a provider key of {len(DEMO_KEY)} bytes")
    assert resolve(key, "ant") == (1, "refused: providerNotAllowed")
    assert resolve(key[:-1]) == (1, "refused: malformedKey")
    # A scoped key is not lent to somebody who does not say what for.
    for scope, refusal in (("--model=gpt-4*", "modelUnclear"), ("--endpoint=chat", "endpointNotInScope"), ("--network=127.0.0.0/8", "networkNotAllowed")):
        assert resolve(gw.key("--provider", "up", scope)) == (1, f"refused: {refusal}")
    gw.cli("key", "revoke", key.split("_")[1])
    assert resolve(key) == (1, "refused: revokedKey")


@pytest.mark.parametrize("how, refusal", [("revoke", "revokedKey"), ("seal", "sealed")])
def test_what_ends_a_key_reaches_a_running_resolver(example, running, how, refusal):
    """The process resolves without end; what is done by the server beside it stops it within the staleness bound."""
    gw = running(Gateway, running(Upstream, ok()).url)
    key = gw.key("--provider", "up")
    child = subprocess.Popen([example, gw.data, "up", "2000000000"], env={**os.environ, "MASKLLM_KEY": key}, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline().startswith("resolved")
        gw.cli(*(["seal", "--reason", "r"] if how == "seal" else ["key", "revoke", key.split("_")[1]]))
        assert child.wait(2 + 3) == 1
        assert child.stdout.read().strip() == f"refused: {refusal}"
    finally:
        child.kill()
