"""Many open streams through a gateway, and what becomes of them when keys are revoked. Used by the tests, which count, and by the bench, which times."""
import asyncio, http.client, json, socket, threading, time


class SlowProvider:
    """An OpenAI-like provider whose streams never end: an event every `interval` seconds."""

    def __init__(self, interval=0.5):
        self.interval, self.open, self.ready = interval, 0, threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.ready.wait(10)
        self.url = f"http://127.0.0.1:{self.port}"

    def _run(self):
        asyncio.set_event_loop(self.loop)

        async def begin():
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2048)
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()

        self.loop.run_until_complete(begin())
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        self.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(next(l for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")).split(b":")[1])
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
            while True:
                writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                await writer.drain()
                await asyncio.sleep(self.interval)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()

    def close(self):
        async def end():
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)


class AdminSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("maskllm")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def admin(data, method, target, document=None):
    """One call of the management side."""
    connection = AdminSocket(data / "admin.sock")
    connection.request(method, target, json.dumps(document) if document is not None else None)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if body else None


def request(provider, key):
    body = b'{"model":"gpt-4o","stream":true,"messages":[]}'
    return (f"POST /{provider}/v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


async def _stream(port, provider, key, opened):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(provider, key))
    first = await reader.read(65536)
    assert b"200 OK" in first, first
    opened.append(key)
    last, tail = time.monotonic(), first
    while piece := await reader.read(65536):
        last, tail = time.monotonic(), (tail + piece)[-2000:]
    writer.close()
    return last, tail


async def _refused(port, provider, key):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(provider, key).replace(b"\r\nHost", b"\r\nConnection: close\r\nHost", 1))
    answer = await reader.read()
    writer.close()
    return answer


def revoke_under_load(port, data, provider, keys, selection, knock=True):
    """Opens a stream with each of `keys`, revokes `selection`, and waits for each stream's end.

    Returns the receipt, seconds from the call to the last byte of each stream, the last bytes, and what each key is answered after the call had
    returned.
    """
    async def run():
        opened = []
        streams = [asyncio.ensure_future(_stream(port, provider, key, opened)) for key in keys]
        while len(opened) < len(keys):
            await asyncio.sleep(0.02)
            failed = [s for s in streams if s.done()]
            assert not failed, failed[0].result()
        began = time.monotonic()
        status, receipt = await asyncio.to_thread(admin, data, "POST", "/v1/revocations", {"reason": "test", **selection})
        returned = time.monotonic()
        assert status == 200, receipt
        answers = await asyncio.gather(*[_refused(port, provider, key) for key in keys]) if knock else []
        ends = await asyncio.wait_for(asyncio.gather(*streams), 60)
        return receipt, [last - began for last, _ in ends], [tail for _, tail in ends], answers, returned - began

    return asyncio.run(run())
