"""The local server: one page, one socket, one visitor; for this machine alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import threading
import time
import webbrowser
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

from mueca.config import LiveSettings
from mueca.errors import MuecaError
from mueca.reenactor import Reenactor
from mueca.streaming.session import Output, Session

HOST = "127.0.0.1"
LARGEST_MESSAGE = 4 << 20
"""Bytes; a frame of a good camera has 0.1 million."""
_PATIENCE_S = 1.5
"""So long a visitor waits for the seat."""
BUSY, UNWELCOME = 4001, 4003
"""Closing codes of the socket: somebody else is there; no token, or from another page."""
_SECURITY = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=()",
}


def serve(
    reenactor: Reenactor,
    settings: LiveSettings,
    *,
    outputs: Sequence[Output] = (),
    say: Callable[[str], object],
    until: threading.Event,
) -> None:
    """Serve the puppet on this machine until interrupted, or until ``until`` is set.

    ``say`` gets the page's address, with the token that opens it. ``outputs`` get every fake as well. Raises MuecaError
    where the port is taken.
    """
    uvicorn = require("uvicorn")
    listener = _listen(settings.port)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(16)

    def begin() -> Session:
        return Session(reenactor, record_to=lambda: new_recording(settings.recordings), outputs=outputs)

    app = make_app(begin, token=token, port=port, say=say)
    options = {"ws": "websockets-sansio", "ws_max_size": LARGEST_MESSAGE, "lifespan": "off", "log_level": "warning"}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    address = f"http://{HOST}:{port}/?token={token}"
    say(f"open {address}  (Ctrl+C ends)")
    if settings.open_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    threading.Thread(target=_stop_with, args=(server, until), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def make_app(begin: Callable[[], Session], *, token: str, port: int, say: Callable[[str], object]) -> Any:
    """Return the ASGI application: ``/`` is the page, ``/frames`` the socket; both want the token.

    ``begin`` makes each visitor's session; ``say`` gets what went wrong after a visitor had left.
    """
    require("starlette")
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    hosts = {f"{HOST}:{port}", f"localhost:{port}"}
    seat = asyncio.Lock()
    worker = ThreadPoolExecutor(1, thread_name_prefix="puppet")
    """Where the session works: what it does goes one by one."""

    def is_welcome(connection: Request | WebSocket) -> bool:
        given = connection.query_params.get("token", "")
        return connection.headers.get("host") in hosts and secrets.compare_digest(given.encode(), token.encode())

    async def page(request: Request) -> Response:
        if not is_welcome(request):
            text = "This page opens with the address that mueca live printed, token and all.\n"
            return PlainTextResponse(text, 403, headers=_SECURITY)
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src blob: data:; "
            f"media-src blob:; connect-src 'self' ws://{request.headers['host']}; base-uri 'none'; form-action 'none'"
        )
        return HTMLResponse(_page(nonce), headers=_SECURITY | {"Content-Security-Policy": policy})

    async def frames(websocket: WebSocket) -> None:
        origin = websocket.headers.get("origin")
        await websocket.accept()
        if not is_welcome(websocket) or origin not in {f"http://{host}" for host in hosts}:
            await websocket.close(UNWELCOME, "open the address that mueca live printed")
        elif not await _is_seated(seat):
            await websocket.close(BUSY, "the puppet is taken: somebody has it open in another window")
        else:
            try:
                await _serve(websocket, begin, worker, say)
            finally:
                seat.release()

    return Starlette(routes=[Route("/", page), WebSocketRoute("/frames", frames)])


async def _is_seated(seat: asyncio.Lock) -> bool:
    """Take the seat and return whether that was possible: a page that is loaded again comes before it has left."""
    try:
        await asyncio.wait_for(seat.acquire(), _PATIENCE_S)
    except TimeoutError:
        return False
    return True


async def _serve(websocket: Any, begin: Callable[[], Session], worker: Executor, say: Callable[[str], object]) -> None:
    """Answer a visitor's frames, the newest first, and carry out their orders, until they leave."""
    loop = asyncio.get_running_loop()
    session = await loop.run_in_executor(worker, begin)
    newest = _Newest(session)
    tasks = [
        asyncio.create_task(work) for work in (_receive(websocket, newest), _answer(websocket, session, newest, worker))
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a bug ends the connection
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await loop.run_in_executor(worker, session.close)  # after what is being painted
        except MuecaError as error:
            say(str(error))


async def _receive(websocket: Any, newest: _Newest) -> None:
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        if (frame := message.get("bytes")) is not None:
            newest.put(frame)
        elif (text := message.get("text")) is not None:
            newest.order(text)


class _Newest:
    """The newest frame that nobody has looked at yet, and the orders in their order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._frame: bytes | None = None
        self._orders: list[str] = []
        self._came = asyncio.Event()

    def put(self, frame: bytes) -> None:
        if self._frame is not None:
            self._session.counts.dropped += 1
        self._frame = frame
        self._came.set()

    def order(self, text: str) -> None:
        self._orders.append(text)
        self._came.set()

    async def get(self) -> tuple[bytes | None, list[str]]:
        await self._came.wait()
        self._came.clear()
        frame, orders, self._frame, self._orders = self._frame, self._orders, None, []
        return frame, orders


async def _answer(websocket: Any, session: Session, newest: _Newest, worker: Executor) -> None:
    from starlette.websockets import WebSocketDisconnect

    loop = asyncio.get_running_loop()
    with contextlib.suppress(WebSocketDisconnect):  # they left while it was painted
        while True:
            frame, orders = await newest.get()
            for order in orders:
                await websocket.send_text(json.dumps(await loop.run_in_executor(worker, _carry_out, session, order)))
            if frame is None:
                continue
            try:
                answer = await loop.run_in_executor(worker, session.answer, frame)
            except MuecaError as error:
                await websocket.send_text(json.dumps({"error": str(error), "answers": "frame"} | _state(session)))
            else:
                await websocket.send_bytes(answer)


def _carry_out(session: Session, order: str) -> dict[str, Any]:
    """Do what an order asks; return what to tell, and how things stand after it."""
    try:
        asked = json.loads(order)
        said = {"told": session.do(asked if isinstance(asked, dict) else {})}
    except (ValueError, RecursionError):
        said = {"error": "order: is not understood; reload the page"}
    except MuecaError as error:
        said = {"error": str(error)}
    return said | _state(session)


def _state(session: Session) -> dict[str, Any]:
    return {"frozen": session.is_frozen, "recording": session.is_recording}


def _page(nonce: str) -> str:
    folder = resources.files("mueca.streaming") / "page"
    html, style, script = ((folder / name).read_text(encoding="utf-8") for name in ("live.html", "live.css", "live.js"))
    return html.replace("{{nonce}}", nonce).replace("{{style}}", style).replace("{{script}}", script)


def new_recording(folder: Path) -> Path:
    """Return a name in the folder that no recording has."""
    stem = time.strftime("mueca-live-%Y%m%d-%H%M%S")
    taken = {path.name for path in folder.glob("mueca-live-*.mp4")}
    names = (f"{stem}{'' if k == 0 else f'-{k}'}.mp4" for k in range(len(taken) + 1))
    return folder / next(name for name in names if name not in taken)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise MuecaError(
            f"--port {port}: can't be used ({error.strerror}); name another one, or 0 for any that is free"
        ) from error
    return listener


def _stop_with(server: Any, until: threading.Event) -> None:
    until.wait()
    server.should_exit = True


def require(name: str) -> Any:
    """Return the package of that name; raises MuecaError where it is not installed."""
    try:
        return __import__(name)
    except ModuleNotFoundError as error:
        raise MuecaError(f"live: needs the package {name}; install it with: pip install 'mueca[live]'") from error
