// What is asked of the management side, with the rights of whoever signed in.

const kept = "maskllm-token";
let token = sessionStorage.getItem(kept);
let session = null;

export class Problem extends Error {
  constructor(status, document) {
    super(document?.hint ? `${document.title} (${document.hint})` : document?.title ?? `the server answered ${status}`);
    this.status = status;
  }
}

function headers(more = {}) {
  return { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...(session ? { "X-CSRF-Token": session.csrf_token } : {}), ...more };
}

async function answer(response) {
  const text = await response.text();
  const document = (response.headers.get("content-type") ?? "").includes("json") && text ? JSON.parse(text) : text || null;
  if (response.ok) return document;
  if (response.status === 401) forget();
  throw new Problem(response.status, document);
}

/** The document that is answered; throws a Problem. */
export async function call(method, path, document) {
  return send(method, path, "application/json", document === undefined ? undefined : JSON.stringify(document));
}

/** As `call`, with what is to be sealed. */
export const callWithSecret = (method, path, secret) => send(method, path, "application/octet-stream", secret);

async function send(method, path, type, body) {
  const once = method === "POST" ? { "Idempotency-Key": crypto.randomUUID() } : {};
  return answer(await fetch(`/v1/${path}`, { method, headers: headers({ "Content-Type": type, ...once }), body }));
}

export const get = (path) => call("GET", path);

/** A page of a list and what the next is asked for with. */
export async function page(path) {
  const response = await fetch(`/v1/${path}`, { headers: headers() });
  const next = /<(\?[^>]+)>/.exec(response.headers.get("link") ?? "")?.[1] ?? null;
  return { entries: await answer(response), next };
}

/** Undefined where the caller may not see it, or is told only of a team. */
export async function maybe(path) {
  try {
    return await get(path);
  } catch (problem) {
    if ([400, 404, 405].includes(problem.status)) return undefined;
    throw problem;
  }
}

export const isSignedIn = () => token !== null || session !== null;

/** Whether people can sign in with their organisation; who has done so is signed in from here on. */
export async function resume() {
  const { openid, signed_in: isIn } = await (await fetch("/ui/sign-in")).json();
  if (!token && isIn) session = await (await fetch("/oidc/session")).json();
  return openid;
}

export async function signIn(text) {
  token = text.trim();
  await call("GET", "status");
  sessionStorage.setItem(kept, token);
}

export function forget() {
  token = null;
  session = null;
  sessionStorage.removeItem(kept);
}

export async function signOut() {
  if (session) await fetch("/oidc/logout", { method: "POST", headers: headers() });
  forget();
}

/** Calls `heard` with requests as they are recorded, until `signal` is aborted; tries again when the connection breaks. */
export async function listen(heard, signal) {
  while (!signal.aborted) {
    try {
      const response = await fetch("/ui/stream", { headers: headers(), signal });
      if (!response.ok) return;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(event) ?? [];
          if (name) heard(name, JSON.parse(data));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
