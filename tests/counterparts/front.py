"""A reverse proxy that serves one path of its name from another server, as nginx does by default.

`location /path { proxy_pass http://server; }`: the path stays, `Host` is the server's own, sockets are passed on.
"""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_REQUEST: Final = re.compile(rb"(?:GET|POST|PUT|HEAD|OPTIONS|DELETE) (\S+) HTTP/1\.1\r\n")
_ELSEWHERE: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def front(path: str, server: int) -> Iterator[int]:
    """Serve `path` from the server at that port of this machine until the block ends; yields the proxy's own port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = asyncio.start_server(lambda *ends: _passed_on(path, server, *ends), "127.0.0.1", 0)
    made = asyncio.run_coroutine_threadsafe(serving, loop).result(10)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_ended(made), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _ended(made: asyncio.Server) -> None:
    made.close()
    going = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in going:
        task.cancel()
    await asyncio.gather(*going, return_exceptions=True)


async def _passed_on(path: str, server: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        theirs, ours = await asyncio.open_connection("127.0.0.1", server)
    except OSError:
        writer.close()
        return

    async def asked() -> None:
        while data := await reader.read(65_536):
            if request := _REQUEST.match(data):
                if not request[1].decode().startswith((f"{path}/", f"{path}?")) and request[1].decode() != path:
                    writer.write(_ELSEWHERE)
                    return
                data = re.sub(
                    rb"\r\nHost: [^\r]*", b"\r\nHost: 127.0.0.1:%d" % server, data, count=1, flags=re.IGNORECASE
                )
            ours.write(data)
            await ours.drain()

    async def answered() -> None:
        while data := await theirs.read(65_536):
            writer.write(data)
            await writer.drain()

    ends = [asyncio.ensure_future(part()) for part in (asked, answered)]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await writer.drain()
    except OSError:
        pass
    finally:
        for end in ends:
            end.cancel()
        writer.close()
        ours.close()
