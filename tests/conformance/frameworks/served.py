"""One framework's application as it runs, for the laws to look at."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from millions.directory import Directory

CSS = "body { background: url(dot.svg) }\n" + "/* padding */\n" * 100


@dataclass(slots=True, kw_only=True)
class Served:
    """One framework's application, as it runs."""

    framework: str
    client: httpx.AsyncClient
    private: str
    log: Path
    process: subprocess.Popen[bytes]
    directory: Directory

    def lines(self, **wanted: object) -> list[dict[str, object]]:
        """The log's lines that hold all of `wanted`."""
        read = self.log.read_bytes().splitlines()
        found = [orjson.loads(each) for each in read if each.startswith(b"{")]
        return [each for each in found if wanted.items() <= each.items()]

    async def metrics(self) -> str:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://{self.private}/metrics")).text
