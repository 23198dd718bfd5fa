"""Runs a real OpenID provider (Canaille) on a port of the system's choosing: people, groups and one client, in a database of its own.

Prints its address, and ends when its standard input does.
"""
import json, os, socket, subprocess, sys, threading

from werkzeug.serving import make_server

DATABASE, REDIRECT, AUTHENTICATION = sys.argv[1:4]
PEOPLE = {"ada": "platform", "bob": "red-developers", "eve": None, "kim": "platform", "lee": "platform"}

door = socket.create_server(("127.0.0.1", 0))
address = f"127.0.0.1:{door.getsockname()[1]}"
key = json.loads(subprocess.run([os.path.join(os.path.dirname(sys.executable), "canaille"), "jwk", "create", "rsa"], capture_output=True, text=True, check=True).stdout)

from canaille import create_app  # noqa: E402
from canaille.app import models  # noqa: E402
from canaille.backends import Backend  # noqa: E402

app = create_app({
    "SECRET_KEY": "made-up-secret-of-a-provider-that-tests-run", "SERVER_NAME": address, "PREFERRED_URL_SCHEME": "http", "TESTING": False, "WTF_CSRF_ENABLED": False,
    "CANAILLE": {"DATABASE": "sql"}, "CANAILLE_SQL": {"DATABASE_URI": f"sqlite:///{DATABASE}"},
    "CANAILLE_OIDC": {"ISSUER": f"http://{address}", "ACTIVE_JWKS": [key]},
})
with app.app_context():
    Backend.instance.install(app)
    with Backend.instance.session():
        for name, group in PEOPLE.items():
            person = models.User(user_name=name, password=f"made-up password of {name}", emails=[f"{name}@example.com"], given_name=name, family_name="X", formatted_name=name)
            Backend.instance.save(person)
            if group:
                Backend.instance.save(models.Group(display_name=group, members=[person]))
        client = models.Client(client_id="maskllm", client_name="maskllm", redirect_uris=[REDIRECT], token_endpoint_auth_method=AUTHENTICATION, grant_types=["authorization_code"],
                               response_types=["code"], scope=["openid", "profile", "email", "groups"], contacts=["x@example.com"],
                               **({} if AUTHENTICATION == "none" else {"client_secret": "made-up-client-secret"}))
        client.audience = [client]
        Backend.instance.save(client)

server = make_server("127.0.0.1", 0, app, threaded=True, fd=door.fileno())
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://{address}", flush=True)
sys.stdin.read()
