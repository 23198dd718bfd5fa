"""1,000 keys with 1,000 open streams: from the call that revokes them to the last byte of each stream. `make bench` runs it on the release binary."""
import os, pathlib, statistics, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("MASKLLM_BINARY", str(ROOT / ".build/release/maskllm"))
sys.path.insert(0, str(ROOT / "Tests/Integration"))
from conftest import Gateway  # noqa: E402
from streams import SlowProvider, revoke_under_load  # noqa: E402


def main(rounds=3):
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            slow = SlowProvider()
            gateway = Gateway(pathlib.Path(folder), slow.url)
            keys = gateway.key("--provider", "*", "--tag", "load", "--count", "1000").split("\n")
            _, times, _, _, call = revoke_under_load(gateway.port, gateway.data, "up", keys, {"tag": "load"}, knock=False)
            gateway.stop()
            slow.close()
        times = sorted(1000 * t for t in times)
        print(f"revocation of 1,000 keys with a stream each: call {1000 * call:.0f} ms; last byte of a stream after "
              f"{statistics.median(times):.0f} ms (median), {times[989]:.0f} ms (p99), {times[-1]:.0f} ms (last)")


if __name__ == "__main__":
    main()
