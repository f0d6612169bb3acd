"""A headless Chromium for tests, driven through the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "about:blank")
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32}


class Chromium:
    """One page. Every request that it makes is in ``requests``, every error and refusal in ``problems``."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM
        ours, theirs = os.pipe(), os.pipe()
        self._out, self._in = os.fdopen(ours[1], "wb", 0), os.fdopen(theirs[0], "rb")
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._number, self._session = 0, None
        self._process = self._start(profile, ours[0], theirs[1])
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _start(self, profile: Path, read: int, write: int) -> subprocess.Popen[bytes]:
        """Chromium reads commands from its descriptor 3 and writes to its 4."""
        shell = f'exec "$@" 3<&{read} 4>&{write}'
        command = ["bash", "-c", shell, "bash", str(PROGRAM), *FLAGS[:-1], "--remote-debugging-pipe"]
        command += [f"--user-data-dir={profile}", FLAGS[-1]]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, pass_fds=(read, write), stdout=quiet, stderr=quiet)
        os.close(read)
        os.close(write)
        return process

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        received = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "chromium has ended"
            received += byte
        message: dict[str, Any] = json.loads(received)
        about = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"][:200])
            case "Runtime.exceptionThrown":
                self.problems.append(about["exceptionDetails"]["text"])
            case "Log.entryAdded":
                self.problems.append(about["entry"]["text"])
        return message

    def open(self, file: Path, width: int = 1280, height: int = 900, fragment: str = "") -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        for url in ("about:blank", file.as_uri() + fragment):  # a new fragment alone would load nothing
            self.call("Page.navigate", url=url)
            while self._read().get("method") != "Page.loadEventFired":
                pass

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        about = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def screenshot(self, file: Path, whole: bool = True) -> None:
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(found["data"]))

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *error: object) -> None:
        """The browser ends with its pipe."""
        self._out.close()
        self._in.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
