"""An LLM provider that knows its keys: calls with one that is not in force are refused. Its management API speaks as the documented ones do."""
import json, re, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class Provider:
    """`keys`: secret -> {"id", "name", "on", "used"}; `calls`: what the management API was asked; `gate`: holds the next call of an action until it is set."""

    def __init__(self, dialect="openai"):
        self.dialect, self.keys, self.calls, self.gates, self.lock = dialect, {}, [], {}, threading.Lock()
        self.failing, self.refused, self.seen, self.made = {}, 0, {}, 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, answer = provider.answer(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "text/xml" if isinstance(answer, str) else "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = any

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        for gate in self.gates.values():
            gate.set()
        self.server.shutdown()

    def stop(self):
        self.close()

    # keys

    def make(self, name, secret=None, **more):
        with self.lock:
            self.made += 1
            secret = secret or f"sk-made-up-{self.made}-{'x' * 20}"
            self.keys[secret] = {"id": f"id{self.made}", "name": name, "on": True, "used": None, "created": time.time(), **more}
            return secret, self.keys[secret]

    def live(self):
        return {s for s, k in self.keys.items() if k["on"]}

    def by(self, field, value):
        return next(((s, k) for s, k in self.keys.items() if k.get(field) == value), (None, None))

    def hold(self, action):
        """The next call of this action waits until the returned event is set."""
        self.gates[action] = threading.Event()
        return self.gates[action]

    # requests

    def answer(self, method, path, headers, body):
        secret = (headers.get("authorization") or "").removeprefix("Bearer ") or headers.get("x-api-key") or headers.get("x-goog-api-key") or headers.get("api-key")
        if path.startswith(("/v1/chat/completions", "/v1/models", "/v1beta/models", "/openai/", "/inference/", "/api/v1/models", "/v1/messages")):
            with self.lock:
                key = self.keys.get(secret)
                if not key or not key["on"]:
                    self.refused += 1
                    return 401, {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}}
                key["used"] = time.time()
                self.seen[secret] = self.seen.get(secret, 0) + (method == "POST")
            return 200, {"model": "m", "choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "data": []}
        action, answer = getattr(self, self.dialect)(method, path, headers, body)
        self.calls.append(action)
        if action in self.failing:
            return self.failing[action], {"error": "made up"}
        gate = self.gates.pop(action, None)
        if gate:
            gate.wait(30)
        return answer() if callable(answer) else answer

    def end(self, field, value, on):
        secret, key = self.by(field, value)
        if not key:
            return 404, {}
        if on is None:
            del self.keys[secret]
        else:
            key["on"] = on
        return 200, {}

    def openai(self, method, path, headers, body):
        assert headers["authorization"] == "Bearer sk-admin-made-up", headers
        base = "/v1/organization/projects/proj_1"
        if method == "POST" and path == f"{base}/service_accounts":
            def create():
                secret, key = self.make(json.loads(body)["name"])
                return 200, {"id": "sa" + key["id"], "object": "organization.project.service_account", "api_key": {"value": secret, "id": "key" + key["id"]}}
            return "create", create
        if method == "GET" and path.startswith(f"{base}/service_accounts"):
            return "find", lambda: (200, {"data": [{"id": "sa" + k["id"], "name": k["name"]} for k in self.keys.values()]})
        if method == "GET":
            key = self.by("id", path.rsplit("/key", 1)[1])[1]
            return "used", lambda: (200, {"last_used_at": key["used"] and int(key["used"])}) if key else (404, {})
        return "delete", lambda: self.end("id", path.rsplit("/sa", 1)[1], None)

    def openrouter(self, method, path, headers, body):
        assert headers["authorization"] == "Bearer sk-admin-made-up"
        if method == "POST":
            def create():
                secret, key = self.make(json.loads(body)["name"])
                return 201, {"data": {"hash": key["id"], "name": key["name"]}, "key": secret}
            return "create", create
        if method == "GET":
            return "find", lambda: (200, {"data": [{"hash": k["id"], "name": k["name"]} for k in self.keys.values()]})
        if method == "PATCH":
            on = not json.loads(body)["disabled"]
            return "enable" if on else "disable", lambda: self.end("id", path.rsplit("/", 1)[1], on)
        return "delete", lambda: self.end("id", path.rsplit("/", 1)[1], None)

    def xai(self, method, path, headers, body):
        assert headers["authorization"] == "Bearer sk-admin-made-up"
        if method == "POST":
            asked = json.loads(body)
            assert path == "/auth/teams/team-1/api-keys" and asked["acls"] == ["api-key:endpoint:*", "api-key:model:*"]
            def create():
                secret, key = self.make(asked["name"])
                return 200, {"apiKey": secret, "apiKeyId": key["id"], "name": key["name"]}
            return "create", create
        if method == "GET":
            return "find", lambda: (200, {"apiKeys": [{"apiKeyId": k["id"], "name": k["name"]} for k in self.keys.values()]})
        if method == "PUT":
            on = not json.loads(body)["apiKey"]["disabled"]
            return "enable" if on else "disable", lambda: self.end("id", path.rsplit("/", 1)[1], on)
        return "delete", lambda: self.end("id", path.rsplit("/", 1)[1], None)

    def mistral(self, method, path, headers, body):
        assert headers["x-api-key"] == "sk-admin-made-up"
        if method == "POST":
            asked = json.loads(body)
            assert asked["workspace_uuid"] == "ws-1"
            def create():
                secret, key = self.make(asked["name"])
                return 200, {"key": secret, "key_id": key["id"], "name": key["name"], "hidden_key": "..."}
            return "create", create
        if method == "GET":
            stamp = lambda t: t and time.strftime("%Y-%m-%dT%H:%M:%S.123456Z", time.gmtime(t))
            return "find", lambda: (200, {"keys": [{"key_id": k["id"], "name": k["name"], "last_used": stamp(k["used"]), "key": None} for k in self.keys.values()]})
        return "delete", lambda: self.end("id", path.rsplit("/", 1)[1], None)

    def fireworks(self, method, path, headers, body):
        assert headers["authorization"] == "Bearer sk-admin-made-up" and path.startswith("/v1/accounts/acc-1/users/user-1/apiKeys")
        if path.endswith(":delete"):
            return "delete", lambda: self.end("id", json.loads(body)["keyId"], None)
        if method == "POST":
            def create():
                secret, key = self.make(json.loads(body)["apiKey"]["displayName"])
                return 200, {"keyId": key["id"], "displayName": key["name"], "key": secret}
            return "create", create
        return "find", lambda: (200, {"apiKeys": [{"keyId": k["id"], "displayName": k["name"]} for k in self.keys.values()]})

    def google(self, method, path, headers, body):
        if path == "/token":
            return "token", (200, {"access_token": "made-up-token", "expires_in": 3600})
        assert headers["authorization"] == "Bearer made-up-token"
        base = "/v2/projects/p-1/locations/global/keys"
        if method == "POST":
            asked = json.loads(body)
            assert path == base and asked["restrictions"]["apiTargets"] == [{"service": "generativelanguage.googleapis.com"}]
            def create():
                self.make(asked["displayName"], polls=2)
                return 200, {"name": f"operations/{asked['displayName']}"}
            return "create", create
        if "/operations/" in path:
            def poll():
                key = self.by("name", path.rsplit("/", 1)[1])[1]
                key["polls"] -= 1
                return 200, {"done": True, "response": {"name": f"projects/p-1/locations/global/keys/{key['id']}"}} if key["polls"] < 0 else {"name": path}
            return "poll", poll
        if path.endswith("/keyString"):
            return "keyString", lambda: (200, {"keyString": self.by("id", path.split("/")[-2])[0]})
        if method == "GET":
            return "find", lambda: (200, {"keys": [{"name": f"projects/p-1/locations/global/keys/{k['id']}", "displayName": k["name"]} for k in self.keys.values()]})
        return "delete", lambda: self.end("id", path.rsplit("/", 1)[1], None)

    def azure(self, method, path, headers, body):
        if path == "/token":
            form = parse_qs(body.decode())
            assert form["scope"] == ["https://management.azure.com/.default"]
            return "token", (200, {"access_token": "made-up-token", "expires_in": 3600})
        assert headers["authorization"] == "Bearer made-up-token"
        assert path == "/subscriptions/s-1/resourceGroups/g-1/providers/Microsoft.CognitiveServices/accounts/a-1/regenerateKey?api-version=2023-05-01"
        slot = json.loads(body)["keyName"]

        def regenerate():
            old = self.by("name", slot)[0]
            if old:
                del self.keys[old]
            self.make(slot)
            return 200, {"key1": self.by("name", "Key1")[0], "key2": self.by("name", "Key2")[0]}
        return f"regenerate {slot}", regenerate

    def bedrock(self, method, path, headers, body):
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAMADEUPMADEUP0000/") and "/us-east-1/iam/aws4_request" in headers["authorization"]
        form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
        action = form["Action"]
        assert form["UserName"] == "llm" and form["Version"] == "2010-05-08"
        stamp = lambda t: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))
        item = lambda s, k, part: (f"<CreateDate>{stamp(k['created'])}</CreateDate><ServiceName>bedrock.amazonaws.com</ServiceName>{part}"
                                   f"<ServiceSpecificCredentialId>{k['id']}</ServiceSpecificCredentialId><Status>Active</Status>")
        if action.startswith("Create"):
            def create():
                if len(self.keys) >= 2:
                    return 409, "<ErrorResponse><Error><Code>LimitExceeded</Code></Error></ErrorResponse>"
                s, k = self.make("")
                return 200, f"<R><ServiceSpecificCredential>{item(s, k, f'<ServiceCredentialSecret>{s}</ServiceCredentialSecret>')}</ServiceSpecificCredential></R>"
            return "create", create
        if action.startswith("List"):
            return "find", lambda: (200, "<R><ServiceSpecificCredentials>" + "".join(f"<member>{item(s, k, '')}</member>" for s, k in self.keys.items()) + "</ServiceSpecificCredentials></R>")
        if action.startswith("Update"):
            on = form["Status"] == "Active"
            return "enable" if on else "disable", lambda: self.end("id", form["ServiceSpecificCredentialId"], on)
        return "delete", lambda: self.end("id", form["ServiceSpecificCredentialId"], None)

    def anthropic(self, method, path, headers, body):
        assert headers["x-api-key"] == "sk-admin-made-up" and headers["anthropic-version"] == "2023-06-01"
        status = json.loads(body)["status"]
        name = path.rsplit("/", 1)[1]
        return {"inactive": "disable", "active": "enable", "archived": "delete"}[status], lambda: self.end("id", name, None if status == "archived" else status == "active")
