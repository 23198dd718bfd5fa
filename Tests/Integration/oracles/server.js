// A server on Node's own http that answers with what it understood of a request, as programs on it commonly do: the body by its
// charset as body-parser takes it, JSON.parse, new URL, and forms by Response.formData(). Says its port on standard output.
"use strict";
const http = require("node:http");
const zlib = require("node:zlib");

const decode = (bytes, type) => {
  const found = /charset\s*=\s*"?([^;"\s]+)/i.exec(type);
  try {
    return new TextDecoder(found ? found[1] : "utf-8").decode(bytes);
  } catch {
    return bytes.toString("utf8");
  }
};

const inflate = (bytes, coding) => {
  try {
    if (coding === "gzip" || coding === "x-gzip") return zlib.gunzipSync(bytes);
    if (coding === "deflate") return zlib.inflateSync(bytes);
    if (coding === "br") return zlib.brotliDecompressSync(bytes);
  } catch {}
  return bytes;
};

const handle = async (request, answer, raw) => {
  const type = request.headers["content-type"] || "";
  const body = inflate(raw, (request.headers["content-encoding"] || "").toLowerCase());
  let [path, query] = [request.url, []];
  try {
    const url = new URL(request.url, "http://localhost");
    query = [...url.searchParams];
    path = url.pathname;
    path = decodeURIComponent(path);
  } catch {}
  let [document, form] = [null, null];
  try { document = JSON.parse(decode(body, type)); } catch {}
  if (/^(multipart\/form-data|application\/x-www-form-urlencoded)/i.test(type)) {
    try {
      form = [];
      for (const [k, v] of await new Response(body, { headers: { "content-type": type } }).formData()) if (typeof v === "string") form.push([k, v]);
    } catch {}
  }
  const headers = [];
  for (const [name, value] of Object.entries(request.headers)) headers.push([name, String(value)]);
  const said = { saw: { method: request.method, path, query, headers, json: document, form } };
  const made = /make:([A-Za-z0-9_/.:-]+)/.exec(body.toString("latin1"));
  const text = JSON.stringify(made ? { [made[1].includes("/") ? "name" : "id"]: made[1], ...said } : said);
  answer.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  answer.end(text);
};

http.createServer({ keepAliveTimeout: 600_000 }, (request, answer) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => handle(request, answer, Buffer.concat(pieces)));
}).listen(0, "127.0.0.1", 1024, function () { console.log(this.address().port); });
process.stdin.on("end", () => process.exit(0)).resume();
