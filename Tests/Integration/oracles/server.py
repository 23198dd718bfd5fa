"""A server on aiohttp or Starlette that answers with what it understood of a request, as programs on it commonly do: `server.py KIND`.

Says its port on standard output. Used by the differential of models and objects.
"""
import json, os, re, socket, sys

MAKE = re.compile(rb"make:([A-Za-z0-9_/.:-]+)")


def said(method, path, query, headers, document, form, body):
    """The answer: what was understood, and the ID of a new object where the request says which it is to be."""
    answer = {"saw": {"method": method, "path": path, "query": query, "headers": headers, "json": document, "form": form}}
    made = MAKE.search(body)
    if made:
        answer = {("name" if b"/" in made[1] else "id"): made[1].decode(), **answer}
    # What JSON cannot carry on (halves of surrogates) is of no use to a scope either.
    return json.dumps(answer).encode()


def listen():
    s = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(s.getsockname()[1], flush=True)
    return s


def leave_with_parent():
    """Ends when the starter has: its end of the standard input closes."""
    import threading
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()


def aiohttp():
    from aiohttp import web

    async def handle(request):
        body, document, form = b"", None, None
        if request.content_type.startswith("multipart/"):
            try:
                form = []
                for name, value in (await request.post()).items():
                    if isinstance(value, web.FileField):
                        value = value.file.read()
                        body += value
                        continue
                    form.append([name, value if isinstance(value, str) else value.decode("latin-1")])
                    body += str(value).encode()
            except Exception:
                pass
        else:
            body = await request.read()
            try:
                document = await request.json()
            except Exception:
                pass
            if request.content_type == "application/x-www-form-urlencoded":
                try:
                    form = [[k, v] for k, v in (await request.post()).items()]
                except Exception:
                    pass
        return web.Response(body=said(request.method, request.path, [[k, v] for k, v in request.query.items()],
                                      [[k.lower(), v] for k, v in request.headers.items()], document, form, body), content_type="application/json")

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{tail:.*}", handle)
    web.run_app(app, sock=listen(), print=None, access_log=None)


def starlette():
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def handle(request: Request):
        body, document, form = await request.body(), None, None
        try:
            document = await request.json()
        except Exception:
            pass
        try:
            form = [[k, v if isinstance(v, str) else ""] for k, v in (await request.form()).multi_items()] or None
        except Exception:
            pass
        return Response(said(request.method, request.scope["path"], [[k, v] for k, v in request.query_params.multi_items()],
                             [[k, v] for k, v in request.headers.items()], document, form, body), media_type="application/json")

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    app = Starlette(routes=[Route("/{tail:path}", handle, methods=methods)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    server.run(sockets=[listen()])


leave_with_parent()
{"aiohttp": aiohttp, "starlette": starlette}[sys.argv[1]]()
