"""The simulator as a process of its own."""

import asyncio
import json
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
from simulator_rig import until

_PROGRAM = """
import sys
from pathlib import Path
from sender.simulator import SimulatorConfig, serve
serve(SimulatorConfig(port=int(sys.argv[1]), log_path=Path(sys.argv[2])))
"""
_CREATE = "/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json"


async def test_the_process_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """It answers /healthz, logs a refused request too, and SIGTERM ends it with status 0."""
    port, path = _free_port(), tmp_path / "log.jsonl"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, str(port), path)
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:

            async def is_healthy() -> bool:
                with suppress(aiohttp.ClientConnectorError):
                    async with session.get(f"{url}/healthz") as response:
                        return response.status == 200
                return False

            await until(is_healthy)
            async with session.post(url + _CREATE, data={"To": "+15551230001"}) as response:
                assert response.status == 401
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["to"] == "+15551230001"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
