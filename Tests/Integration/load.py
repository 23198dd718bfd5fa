"""Many raw requests through one gateway: keep-alive connections on one event loop, each with one request at a time. Used by the differentials."""
import asyncio, os, random, re, threading

import pytest

# How much of a run: a small count for `make test`, the full count for `make differential`, or a number of cases.
EFFORT = os.environ.get("MASKLLM_DIFFERENTIAL", "small")
SEED = int(os.environ.get("MASKLLM_SEED", "20261130"))


def cases_of(small, full):
    """How many cases this run has."""
    return {"small": small, "full": full}.get(EFFORT) or int(EFFORT)


def timeout_of(small=100):
    """Seconds that a test may take."""
    return small if EFFORT == "small" else 6 * 3600


class Ended(Exception):
    """The connection ended before an answer did."""


async def read_answer(reader, method=b"GET"):
    """(status, head, body, whether the connection goes on) of one answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        status = int(lines[0].split()[1])
        body, goes_on = b"", b"connection: close" not in lines
        length = next((int(l[15:]) for l in lines if l.startswith(b"content-length:")), None)
        if method == b"HEAD" or status in (204, 304):
            pass
        elif b"transfer-encoding: chunked" in lines:
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif length is not None:
            body = await reader.readexactly(length)
        else:
            body, goes_on = await reader.read(), False
        return status, head, body, goes_on
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError, IndexError) as error:
        raise Ended(repr(error)) from error


class Lane:
    """One connection to the gateway, made anew when it ends."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def ask(self, data, seconds=60, pieces=None):
        """The answer to the bytes of one request; None where the connection ended without one."""
        for attempt in range(2):
            fresh = self.writer is None
            if fresh:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)
            try:
                self.writer.write(data)
                answer = await asyncio.wait_for(read_answer(self.reader, data[:4].rstrip()), seconds)
                if not answer[3]:
                    self.close()
                return answer
            except Ended:
                self.close()
                # A connection kept from before may have ended meanwhile; a fresh one that ends has been refused.
                if fresh:
                    return None
        return None

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


async def drive(port, cases, judge, lanes=32):
    """Sends each of `cases` (anything with `.data`), `lanes` at a time, and has `judge(case, answer)` look at each answer."""
    source = iter(cases)

    async def work():
        lane = Lane(port)
        for case in source:
            judge(case, await lane.ask(case.data))
        lane.close()

    await asyncio.gather(*[work() for _ in range(lanes)])


def seeded(*what):
    """Randomness that is the same in every run with the same seed."""
    return random.Random("/".join(map(str, (SEED, *what))))


class Answers:
    """A provider on a thread of its own that answers each request with what was put there for the number that it carries, as `case N` or `case=N`."""

    def __init__(self):
        self.answers, self.random, self.loop = {}, seeded("pieces"), asyncio.new_event_loop()
        self.loop.run_until_complete(self._start())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.port}"

    async def _start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    def put(self, number, body, ctype="application/json", status=200, headers=(), length=None):
        """The answer to requests of this number; `length` in place of the right one."""
        fields = "".join(f"{k}: {v}\r\n" for k, v in headers)
        self.answers[number] = f"HTTP/1.1 {status} Status\r\nContent-Type: {ctype}\r\nContent-Length: {len(body) if length is None else length}\r\n{fields}\r\n".encode("utf-8"), body

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found, body = re.search(rb"content-length: *(\d+)", head, re.I), b""
                if found:
                    body = await reader.readexactly(int(found[1]))
                elif re.search(rb"transfer-encoding: *chunked", head, re.I):
                    while size := int(await reader.readuntil(b"\r\n"), 16):
                        body += (await reader.readexactly(size + 2))[:-2]
                    await reader.readuntil(b"\r\n")
                number = re.search(rb"case[ =](\d+)", head.split(b"\r\n")[0]) or re.search(rb"case[ =](\d+)", body)
                if number is None:
                    return
                head, body = self.answers[int(number[1])]
                writer.write(head)
                at = 0
                while at < len(body):
                    size = self.random.choice([13, 100, 4096, 65536])
                    writer.write(body[at:at + size])
                    at += size
                    if size < 100:
                        await asyncio.sleep(0)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, KeyError):
            pass
        finally:
            writer.close()

    def close(self):
        def end():
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.server.close()
            self.loop.call_soon(self.loop.stop)

        self.loop.call_soon_threadsafe(end)
        self.thread.join(10)


@pytest.fixture
def answers():
    made = Answers()
    yield made
    made.close()
