"""Nobody configured a journal: orders are kept all the same, and one account belongs to one node."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from paradex_rig import KEY_VARIABLE, exchange
from venuekit_paradex.sim import SIMULATOR

NODE = Path(__file__).with_name("default_journal_process.py")
SECS = 50


async def started(config: Path, home: Path) -> asyncio.subprocess.Process:
    variables = {**os.environ, KEY_VARIABLE: SIMULATOR.demo_key(), "XDG_DATA_HOME": str(home)}
    return await asyncio.create_subprocess_exec(
        sys.executable, str(NODE), str(config), stdout=asyncio.subprocess.PIPE, env=variables
    )


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), SECS)).decode().strip()


async def gone(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.mark.timeout(210)
def test_the_second_node_of_an_account_is_refused_with_the_reason_until_the_first_is_gone(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with exchange() as x:
            text = x.info.config_toml.replace("cmd:venuekit sim paradex --demo-key", f"env:{KEY_VARIABLE}")
            assert "journal" not in text
            configs = [tmp_path / name / "node.toml" for name in ("one", "two")]
            for path in configs:
                path.parent.mkdir()
                path.write_text(text, encoding="utf-8")
            home = tmp_path / "home"
            first = await started(configs[0], home)
            second = third = None
            try:
                assert await said(first) == "running"
                (journal,) = (home / "venuekit" / "journals").glob("*.journal")
                second = await started(configs[1], home)
                word = await said(second)
                assert word.startswith("ended 1 PARADEX could not connect: ")
                assert f"{journal} is in use by another node (process {first.pid})" in word
                assert "one node trades one account at a time" in word
                first.send_signal(signal.SIGKILL)
                await first.wait()
                third = await started(configs[1], home)
                assert await said(third) == "running"
                third.send_signal(signal.SIGTERM)
                assert (await said(third)).startswith("ended 0")
            finally:
                for process in (first, second, third):
                    if process is not None:
                        await gone(process)

    asyncio.run(asyncio.wait_for(main(), 4 * SECS))
